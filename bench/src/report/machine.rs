use std::{fmt, fs, io::Write as _, path::Path, thread, time::Duration};

use serde::Serialize;

use crate::clock;

/// What the figures were measured on: without it they say nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    /// Whether all this was built without optimisation.
    debug_build: bool,
    /// The load average of the last minute before the run: anything above 0 was taken from the figures.
    load_before: Option<f64>,
    /// Appends of 4 KiB a second, each followed by its fdatasync, on the disk with the stores.
    syncs_per_second: f64,
}

impl Machine {
    /// Looks at this machine, and at the disk with this folder (for half a second).
    pub(crate) fn look(folder: &Path) -> anyhow::Result<Self> {
        let load = fs::read_to_string("/proc/loadavg").ok();
        Ok(Self {
            cores: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            debug_build: cfg!(debug_assertions),
            load_before: load.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok()),
            syncs_per_second: syncs_per_second(folder)?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores, {:.0} fdatasyncs of 4 KiB a second", self.cores, self.syncs_per_second)?;
        if self.debug_build {
            write!(f, ", DEBUG BUILD: figures say nothing")?;
        }
        match self.load_before {
            Some(load) if load >= 0.3 => {
                write!(f, ", load {load} before the run: NOT QUIET")
            }
            Some(load) => write!(f, ", load {load} before the run"),
            None => Ok(()),
        }
    }
}

fn syncs_per_second(folder: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let (begin, mut syncs) = (clock::instant(), 0_u32);
    loop {
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        syncs += 1;
        let taken = clock::instant().duration_since(begin);
        if taken > Duration::from_millis(500) {
            return Ok(f64::from(syncs) / taken.as_secs_f64());
        }
    }
}
