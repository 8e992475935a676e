//! What was measured, beside the floor and the target.

use std::{fmt, fs, io::Write as _, path::Path, thread, time::Duration};

use serde::Serialize;

use crate::clock;

/// Everything that one run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What the figures were measured on.
    pub(crate) machine: Machine,
    /// The figures, in the order in which they were measured.
    pub(crate) figures: Vec<Figure>,
    /// What could not be measured, and deliveries that were not answered as they should.
    pub(crate) failures: Vec<String>,
    /// What was not tried, and why.
    pub(crate) skipped: Vec<String>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    scenario: &'static str,
    name: String,
    value: f64,
    unit: Unit,
    floor: Option<f64>,
    /// The value as a share of the floor, where that says something.
    share: Option<f64>,
    target: Option<Target>,
    met: Option<bool>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "/s")]
    PerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "%")]
    Percent,
    #[serde(rename = "×")]
    Ratio,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this share of the floor.
    ShareOfFloor(f64),
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
}

impl Report {
    /// An empty report about this machine.
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, figures: Vec::new(), failures: Vec::new(), skipped: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }
}

impl Figure {
    /// A figure without floor and target.
    pub(crate) fn new(scenario: &'static str, name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { scenario, name: name.into(), value, unit, floor: None, share: None, target: None, met: None }
    }

    /// The same figure of the floor, measured in the same run.
    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        if self.unit == Unit::PerSecond {
            self.share = Some(self.value / floor);
        }
        self
    }

    /// What it should be. A share of the floor is never reached without a floor.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(match target {
            Target::ShareOfFloor(share) => self.share.is_some_and(|is| is >= share),
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
            Target::Below(limit) => self.value < limit,
        });
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        let head = ["scenario", "figure", "measured", "floor", "share", "target", ""].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.figures.iter().map(Figure::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4, 5, 6].map(width);
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                // Numbers to the right, text to the left.
                2..=4 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        for (title, lines) in [("Failed", &self.failures), ("Skipped", &self.skipped)] {
            if !lines.is_empty() {
                writeln!(f, "\n{title}:")?;
                lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
        }
        Ok(())
    }
}

impl Figure {
    fn cells(&self) -> [String; 7] {
        let unit = self.unit;
        [
            self.scenario.to_owned(),
            self.name.clone(),
            unit.print(self.value),
            self.floor.map(|floor| unit.print(floor)).unwrap_or_default(),
            self.share.map(|share| format!("{share:.2}")).unwrap_or_default(),
            match self.target {
                None => String::new(),
                Some(Target::ShareOfFloor(share)) => format!("≥ {share} of the floor"),
                Some(Target::AtLeast(least)) => format!("≥ {}", unit.print(least)),
                Some(Target::AtMost(most)) => format!("≤ {}", unit.print(most)),
                Some(Target::Below(limit)) => format!("< {}", unit.print(limit)),
            },
            match self.met {
                None => String::new(),
                Some(true) => "met".into(),
                Some(false) => "MISSED".into(),
            },
        ]
    }
}

impl Unit {
    fn print(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.1} µs"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Percent => format!("{value:.1} %"),
            Self::Ratio => format!("{value:.2}"),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_held_against_the_floor_of_the_same_run() {
        let figure = |value| {
            Figure::new("burst", "acks", value, Unit::PerSecond)
                .floor(30_000.0)
                .target(Target::ShareOfFloor(0.6))
        };
        assert_eq!(figure(18_000.0).met, Some(true));
        assert_eq!(figure(17_999.0).met, Some(false));
        assert_eq!(
            figure(21_000.0).cells(),
            ["burst", "acks", "21000/s", "30000/s", "0.70", "≥ 0.6 of the floor", "met"]
        );
    }

    #[test]
    fn a_share_without_a_floor_is_missed() {
        let figure = Figure::new("burst", "acks", 1.0, Unit::PerSecond).target(Target::ShareOfFloor(0.6));
        assert_eq!(figure.met, Some(false));
    }
}
