//! What is said about a job in the headers of its request.

use std::fmt::Write;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self},
};
use sha2::{Digest, Sha256};

use super::signing::SigningKeys;
use crate::{clock::Timestamp, handler::Job};

/// Subjects longer than this are left out: servers refuse requests for the length of their headers, and a subject cut
/// short would name something else.
const LONGEST_SUBJECT: usize = 2048;

/// All headers of the job's request, sent at `now`.
pub(super) fn headers(job: &Job, keys: &SigningKeys, now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: String| {
        // All values are made of printable ASCII here; one that is not would be left out rather than cost the job.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let id = job.id.to_string();

    set("ce-specversion", "1.0".into());
    set("ce-id", job.event_id.to_string());
    set("ce-source", encoded(&format!("/doorbell/{}", job.source)));
    set("ce-type", encoded(&format!("{}.{}", job.provider, job.kind)));
    if let Some(subject) = job.subject.as_deref().filter(|subject| !subject.is_empty()) {
        let subject = encoded(subject);
        if subject.len() <= LONGEST_SUBJECT {
            set("ce-subject", subject);
        }
    }
    set("ce-time", job.occurred_at.unwrap_or(job.received_at).to_string());

    if let Some(signature) = keys.sign(&id, now, &job.data) {
        set("webhook-signature", signature);
    }
    set("webhook-timestamp", now.as_seconds().to_string());
    set("webhook-id", id);

    set("doorbell-attempt", job.attempt.number.to_string());
    if job.attempt.replay > 0 {
        set("doorbell-replay", job.attempt.replay.to_string());
    }
    set("traceparent", traceparent(job));

    let content_type = job.content_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
    headers.insert(
        header::CONTENT_TYPE,
        content_type.unwrap_or_else(|| HeaderValue::from_static("application/json")),
    );
    headers
}

/// The text as the `CloudEvents` HTTP binding wants it in a header (section 3.1.3.2).
fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            value.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(value, "%{byte:02X}");
        }
    }
    value
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
    use crate::provider::Secrets;

    fn headers_of(job: &Job) -> HeaderMap {
        let keys = SigningKeys::parse(&Secrets::none()).unwrap();
        headers(job, &keys, Timestamp::from_seconds(1_767_168_201))
    }

    #[test]
    fn encodes_what_the_binding_names_and_nothing_else() {
        // The binding's own example.
        assert_eq!(encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(encoded("a\"b%c\r\n\u{7f}"), "a%22b%25c%0D%0A%7F");
        assert_eq!(encoded("/doorbell/cafe:1~!*'()"), "/doorbell/cafe:1~!*'()");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut job = Job::sample();
        (job.subject, job.occurred_at, job.content_type) = (None, None, None);
        let headers = headers_of(&job);
        for absent in ["ce-subject", "doorbell-replay", "webhook-signature"] {
            assert!(!headers.contains_key(absent), "{absent}");
        }
        assert_eq!(headers["ce-time"], "2025-12-31T08:03:20.045Z");
        assert_eq!(headers["content-type"], "application/json");
    }

    #[test]
    fn no_text_of_the_sender_breaks_the_headers() {
        let mut job = Job::sample();
        job.kind = "заказ.created\r\nx-forged: 1".into();
        job.subject = Some("x".repeat(LONGEST_SUBJECT + 1));
        job.content_type = Some("text/plain\r\nx-forged: 1".into());
        let headers = headers_of(&job);
        assert!(headers["ce-type"].to_str().unwrap().ends_with("created%0D%0Ax-forged:%201"));
        assert!(!headers.contains_key("ce-subject") && !headers.contains_key("x-forged"));
        assert_eq!(headers["content-type"], "application/json");
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
