//! What becomes of a job whose attempt has ended. Pure: no I/O, no clock, no dice.

use std::time::Duration;

use crate::{delivery::JobId, handler::HandlerError, journal::Outcome, route::RetryPolicy, text};

/// How long an error's text may be, in bytes; the rest is cut off.
const MAX_ERROR: usize = 2_000;

/// What becomes of the job `id` after its attempt number `attempt` (from 1).
pub(super) fn outcome(
    result: Result<(), HandlerError>,
    policy: &RetryPolicy,
    id: JobId,
    attempt: u32,
) -> Outcome {
    let error = match result {
        Ok(()) => return Outcome::Done,
        Err(error) => error,
    };
    let text = text::shorten(error.to_string(), MAX_ERROR);
    match error {
        HandlerError::Discard { .. } => Outcome::Discarded { reason: text },
        HandlerError::Dead { .. } => Outcome::Dead { error: text },
        HandlerError::Retry { .. } if attempt >= policy.max_attempts => Outcome::Dead { error: text },
        HandlerError::Retry { after, .. } => {
            let scheduled = delay(policy, attempt, spread(id, attempt));
            Outcome::Retry { after: obey(after, scheduled, attempt, policy.max_attempts), error: text }
        }
    }
}

/// The delay before the attempt that follows `attempt`: `min` doubled for each failure so far, `max` at most, times
/// `spread`, which lies between 0.8 and 1.0.
pub(super) fn delay(policy: &RetryPolicy, attempt: u32, spread: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(62);
    let factor = 1u64 << doublings;
    let millis = u64::try_from(policy.min.as_millis()).unwrap_or(u64::MAX).saturating_mul(factor);
    Duration::from_millis(millis).min(policy.max).mul_f64(spread.clamp(0.8, 1.0))
}

/// A wait that the handler or target asked for is obeyed to the letter in the first half of the attempts. After that
/// it can only be longer than the schedule: a target that answers "in a second" for ever must not use up in a minute
/// the attempts that are meant to last over a weekend.
fn obey(asked: Option<Duration>, scheduled: Duration, attempt: u32, max_attempts: u32) -> Duration {
    match asked {
        None => scheduled,
        Some(asked) if attempt <= max_attempts / 2 => asked,
        Some(asked) => asked.max(scheduled),
    }
}

/// Where between 0.8 and 1.0 this attempt's delay lies. Drawn from the job's id, so that jobs which failed together do
/// not come back together.
fn spread(id: JobId, attempt: u32) -> f64 {
    let mut mixed = id.as_bytes().iter().fold(u64::from(attempt), |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5)
    });
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^= mixed >> 33;
    let thousandth = u32::try_from(mixed % 1000).unwrap_or_default();
    0.8 + 0.2 * f64::from(thousandth) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> JobId {
        uuid::Uuid::from_u128(number).into()
    }

    #[test]
    fn the_default_schedule_spans_a_weekend() {
        let policy = RetryPolicy::default();
        let shortest: Duration = (1..policy.max_attempts).map(|attempt| delay(&policy, attempt, 0.8)).sum();
        assert!(shortest >= Duration::from_secs(52 * 3600), "{shortest:?}");
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let policy =
            RetryPolicy { max_attempts: 10, min: Duration::from_secs(5), max: Duration::from_secs(60) };
        let seconds: Vec<_> = (1..7).map(|attempt| delay(&policy, attempt, 1.0).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
        assert_eq!(delay(&policy, u32::MAX, 1.0).as_secs(), 60);
    }

    #[test]
    fn delays_are_spread_between_four_fifths_and_all() {
        let spreads: Vec<_> = (0..500).map(|number| spread(id(number), 3)).collect();
        assert!(spreads.iter().all(|spread| (0.8..=1.0).contains(spread)));
        assert!(spreads.iter().any(|spread| *spread < 0.82) && spreads.iter().any(|spread| *spread > 0.98));
    }

    #[test]
    fn the_last_failure_is_death() {
        let policy = RetryPolicy { max_attempts: 3, ..RetryPolicy::default() };
        let failed = |attempt| outcome(Err(HandlerError::retry("no")), &policy, id(1), attempt);
        assert!(matches!(failed(2), Outcome::Retry { .. }));
        assert_eq!(failed(3), Outcome::Dead { error: "no".into() });
    }

    #[test]
    fn a_wait_that_was_asked_for_is_obeyed_and_cannot_burn_the_attempts() {
        let policy = RetryPolicy::default();
        let asked = Some(Duration::from_secs(1));
        let after = |attempt| match outcome(
            Err(HandlerError::Retry { after: asked, source: "busy".into() }),
            &policy,
            id(1),
            attempt,
        ) {
            Outcome::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(1), Duration::from_secs(1));
        let rest: Duration = (1..policy.max_attempts).map(after).sum();
        assert!(rest > Duration::from_secs(48 * 3600), "{rest:?}");
    }

    #[test]
    fn long_errors_are_cut_at_a_character() {
        let text = "ü".repeat(MAX_ERROR);
        let Outcome::Dead { error } =
            outcome(Err(HandlerError::dead(text)), &RetryPolicy::default(), id(1), 1)
        else {
            panic!("not dead")
        };
        assert!(error.len() <= MAX_ERROR + 3 && error.ends_with('…'));
    }
}
