//! When a call that failed is tried again. Pure: no clock, no dice.

use std::time::Duration;

use super::ClientOptions;

/// The first pause, before its jitter, and the longest.
const MIN: Duration = Duration::from_millis(250);
const MAX: Duration = Duration::from_secs(5);

/// How long to wait after attempt number `attempt` (from 1), which ended when the call had taken `elapsed`. `None` if the
/// call gets no further attempt.
///
/// What the vendor `asked` for is waited for to the letter. Otherwise the pauses double, each times `jitter`, which lies
/// between 0.5 and 1.0. A pause that would not end within the call's time is not begun.
pub(super) fn pause(
    options: &ClientOptions,
    attempt: u32,
    elapsed: Duration,
    asked: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    if attempt >= options.attempts {
        return None;
    }
    let pause = asked.unwrap_or_else(|| {
        let doubled = MIN.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.min(MAX).mul_f64(jitter.clamp(0.5, 1.0))
    });
    (elapsed.saturating_add(pause) < options.total).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn options(attempts: u32) -> ClientOptions {
        ClientOptions { attempts, total: Duration::from_secs(20), ..ClientOptions::default() }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_spread() {
        let options = options(u32::MAX);
        let millis = |jitter| {
            let pause = |attempt| pause(&options, attempt, NONE, None, jitter).unwrap().as_millis();
            (1..8).map(pause).collect::<Vec<_>>()
        };
        assert_eq!(millis(1.0), [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(millis(0.5), [125, 250, 500, 1000, 2000, 2500, 2500]);
        // Dice out of their range, and attempts beyond all counting, change nothing.
        assert_eq!(millis(7.0), millis(1.0));
        assert_eq!(pause(&options, u32::MAX - 1, NONE, None, 1.0), Some(MAX));
    }

    #[test]
    fn attempts_are_counted() {
        assert!(pause(&options(3), 2, NONE, None, 1.0).is_some());
        assert_eq!(pause(&options(3), 3, NONE, None, 1.0), None);
        assert_eq!(pause(&options(1), 1, NONE, None, 1.0), None);
        assert_eq!(pause(&options(0), 1, NONE, None, 1.0), None);
    }

    #[test]
    fn what_was_asked_for_is_obeyed_or_the_call_ends() {
        let options = options(4);
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(pause(&options, 1, NONE, asked(19), 0.5), asked(19));
        assert_eq!(pause(&options, 1, NONE, asked(20), 0.5), None);
        assert_eq!(pause(&options, 1, Duration::from_secs(15), asked(6), 0.5), None);
        assert_eq!(pause(&options, 1, Duration::from_secs(20), None, 0.5), None);
        assert_eq!(pause(&options, 1, Duration::MAX, Some(Duration::MAX), 0.5), None);
    }
}
