//! How many jobs a second a target takes.

use std::time::Duration;

use super::TargetError;
use crate::rate::Pace;

/// How many jobs a second a target takes.
///
/// ```
/// use doorbell::target::{HttpOptions, Rate};
///
/// let mut options = HttpOptions::default();
/// options.rate = Some(Rate::per_second(0.5)?); // one every two seconds
/// # Ok::<(), doorbell::target::TargetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Pace);

impl Rate {
    /// The highest rate that can be asked for, in jobs a second.
    pub const MAX: f64 = 1_000_000.0;

    /// This many jobs a second; 0.5 is one every two seconds. At most a tenth of a second's worth (at least one job)
    /// starts at once, so that a target with a limit of its own does not see twice its limit after a pause.
    ///
    /// # Errors
    /// The rate is not above zero, not a number, above [`MAX`](Self::MAX), or so low that it is next to never.
    pub fn per_second(jobs: f64) -> Result<Self, TargetError> {
        let refused = || TargetError::Rate { given: jobs };
        if !(jobs > 0.0 && jobs <= Self::MAX) {
            return Err(refused());
        }
        let interval = Duration::try_from_secs_f64(1.0 / jobs).map_err(|_| refused())?;
        if interval > Self::LONGEST {
            return Err(refused());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to MAX / 10")]
        let burst = (jobs / 10.0).ceil() as u32;
        Ok(Self(Pace { interval, burst }))
    }

    pub(super) fn pace(self) -> Pace {
        self.0
    }

    const LONGEST: Duration = Duration::from_secs(24 * 3600);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_second_may_start_at_once() {
        for (per_second, interval, burst) in [(10.0, 100, 1), (200.0, 5, 20), (0.5, 2_000, 1)] {
            let pace = Pace { interval: Duration::from_millis(interval), burst };
            assert_eq!(Rate::per_second(per_second).unwrap().pace(), pace, "{per_second}");
        }
    }

    #[test]
    fn rates_that_are_none_are_refused_by_value() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9, 1e-300] {
            let error = Rate::per_second(wrong).unwrap_err().to_string();
            assert!(error.contains(&wrong.to_string()) && error.contains("jobs a second"), "{error}");
        }
    }
}
