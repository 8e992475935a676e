//! What is said about a job in the headers of its request.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use super::signing::SigningKeys;
use crate::{clock::Timestamp, handler::Job, target::cloudevents};

/// Subjects longer than this are left out: servers refuse requests for the length of their headers, and a subject cut
/// short would name something else.
const LONGEST_SUBJECT: usize = 2048;

/// All headers of the job's request, sent at `now`.
pub(super) fn headers(job: &Job, keys: &SigningKeys, now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: String, value: String| {
        // All values are made of printable ASCII here; one that is not would be left out rather than cost the job.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    };
    for (name, value) in cloudevents::attributes(job) {
        let value = encoded(&value);
        if name != "subject" || value.len() <= LONGEST_SUBJECT {
            set(format!("ce-{name}"), value);
        }
    }
    for (name, value) in cloudevents::attempt(job) {
        set(name.into(), value);
    }
    set("webhook-timestamp".into(), now.as_seconds().to_string());
    if let Some(signature) = keys.sign(&job.id.to_string(), now, &job.data) {
        set("webhook-signature".into(), signature);
    }
    let content_type = job.content_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
    headers.insert(
        CONTENT_TYPE,
        content_type.unwrap_or_else(|| HeaderValue::from_static(cloudevents::DEFAULT_CONTENT_TYPE)),
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
}
