//! A job as a `CloudEvent`: what every target that speaks to other programs says about it. `cloudevents.md` is the
//! contract.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::handler::Job;

/// The media type of data that came without one.
pub(super) const DEFAULT_CONTENT_TYPE: &str = "application/json";

/// The attributes of the job's event, as text, in the order of the contract. `datacontenttype` and `data` are not among
/// them: each transport has its own place for these.
pub(super) fn attributes(job: &Job) -> Vec<(&'static str, Cow<'_, str>)> {
    let mut attributes = vec![
        ("specversion", "1.0".into()),
        ("id", job.event_id.to_string().into()),
        ("source", format!("/doorbell/{}", job.source).into()),
        ("type", format!("{}.{}", job.provider, job.kind).into()),
    ];
    if let Some(subject) = job.subject.as_deref().filter(|subject| !subject.is_empty()) {
        attributes.push(("subject", subject.into()));
    }
    attributes.push(("time", job.occurred_at.unwrap_or(job.received_at).to_string().into()));
    attributes
}

/// What is said beside the event: which job and which attempt it is.
pub(super) fn attempt(job: &Job) -> Vec<(&'static str, String)> {
    let mut attempt =
        vec![("webhook-id", job.id.to_string()), ("doorbell-attempt", job.attempt.number.to_string())];
    if job.attempt.replay > 0 {
        attempt.push(("doorbell-replay", job.attempt.replay.to_string()));
    }
    attempt.push(("traceparent", traceparent(job)));
    attempt
}

/// A W3C trace context: one trace for a job, one span for each attempt at it. Both follow from what the job is, so a
/// trace is found by the job's id. Marked as sampled: whoever sees few webhooks wants to see them all.
fn traceparent(job: &Job) -> String {
    let attempt = Sha256::new()
        .chain_update(job.id.as_bytes())
        .chain_update(job.attempt.replay.to_le_bytes())
        .chain_update(job.attempt.number.to_le_bytes())
        .finalize();
    format!("00-{}-{}-01", hex::encode(job.id.as_bytes()), hex::encode(&attempt[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut job = Job::sample();
        (job.subject, job.occurred_at) = (None, None);
        let attributes = attributes(&job);
        assert_eq!(
            attributes.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["specversion", "id", "source", "type", "time"]
        );
        assert_eq!(attributes[4].1, "2025-12-31T08:03:20.045Z");
        assert!(!attempt(&job).iter().any(|(name, _)| *name == "doorbell-replay"));
    }

    #[test]
    fn attempts_share_a_trace_and_not_a_span() {
        let (first, mut second) = (Job::sample(), Job::sample());
        second.attempt.number = 2;
        let (first, second) = (traceparent(&first), traceparent(&second));
        assert_eq!(first[..36], second[..36]);
        assert_ne!(first[36..], second[36..]);
        assert_eq!(first.split('-').map(str::len).collect::<Vec<_>>(), [2, 32, 16, 2]);
    }
}
