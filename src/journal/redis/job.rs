//! Jobs and attempts as they stand in Redis; `common.lua` says how.

use super::link::LinkError;
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{AttemptRecord, DeliverySummary, JobRecord, JobState, sealed::new_job},
};

/// Reads a job as it stands in the hash of jobs.
pub(super) fn read(
    of: &DeliverySummary,
    event: u32,
    route: &str,
    text: &[u8],
) -> Result<JobRecord, LinkError> {
    let text = String::from_utf8_lossy(text);
    let damaged = || LinkError::Refused(format!("a stored job can't be read: {text:?}"));
    let fields: Vec<_> = text.splitn(11, ' ').collect();
    let [state, attempts, crashes, replays, due, started, finished, _suspect, _owner, _token, error] =
        fields[..]
    else {
        return Err(damaged());
    };
    let number = |text: &str| text.parse().map_err(|_| damaged());
    let time = |text: &str| match text {
        "-" => Ok(None),
        text => text.parse().map(|millis| Some(Timestamp::from_millis(millis))).map_err(|_| damaged()),
    };
    let state = state.parse().ok().and_then(|state: usize| JobState::ALL.get(state)).ok_or_else(damaged)?;
    Ok(JobRecord {
        state: *state,
        attempts: number(attempts)?,
        crashes: number(crashes)?,
        replays: number(replays)?,
        due_at: time(due)?,
        started_at: time(started)?,
        finished_at: time(finished)?,
        error: Some(error.to_owned()).filter(|error| !error.is_empty()),
        ..new_job(of, event, route)
    })
}

/// Reads an attempt. A route's name may hold spaces.
pub(super) fn read_attempt(delivery: DeliveryId, field: &str, value: &str) -> Option<AttemptRecord> {
    let (event, rest) = field.split_once(' ')?;
    let (rest, number) = rest.rsplit_once(' ')?;
    let (route, replay) = rest.rsplit_once(' ')?;
    let [started, finished, outcome, error] = value.splitn(4, ' ').collect::<Vec<_>>().try_into().ok()?;
    Some(AttemptRecord {
        job_id: delivery.event(event.parse().ok()?).job(route),
        route: route.to_owned(),
        number: number.parse().ok()?,
        replay: replay.parse().ok()?,
        started_at: Timestamp::from_millis(started.parse().ok()?),
        finished_at: Timestamp::from_millis(finished.parse().ok()?),
        outcome: outcome.to_owned(),
        error: Some(error.to_owned()).filter(|error| !error.is_empty()),
    })
}
