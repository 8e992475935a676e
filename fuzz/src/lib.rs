//! What the targets share. Run one for a minute: `cargo +nightly fuzz run poster -- -max_total_time=60`.

use bytes::Bytes;
use doorbell::{
    clock::Timestamp,
    provider::{FromEvent, Parsed, Provider, Request},
};
use http::{HeaderMap, HeaderValue};

/// The time in all targets.
pub const NOW: Timestamp = Timestamp::from_seconds(1_767_168_300);

/// Asks a provider all it can be asked about a body, and checks what must always hold.
pub fn exercise<E: FromEvent>(provider: &dyn Provider, body: &[u8], headers: &HeaderMap) {
    let request = Request {
        query: Some("requestId=640569eb-522d-427a-b07e-fa757c5d4217"),
        path_secret_matched: true,
        ..Request::new(headers, body)
    };
    let authentic = provider.authenticate(&request, NOW);
    let verdict = provider.verify(&request, NOW);
    assert_eq!(authentic.as_ref().err(), verdict.as_ref().err());
    let body = Bytes::copy_from_slice(body);
    if let Ok(Parsed::Events { events, .. }) = provider.parse(&request) {
        assert!(!events.is_empty());
        for event in events {
            let data = event.data.of(&body);
            assert!(!data.is_empty() || body.is_empty());
            let _ = E::from_event(&event.kind, &data);
        }
    }
}

/// Splits an input into a header's value (its first line) and a body.
pub fn header_and_body(input: &[u8]) -> Option<(HeaderValue, &[u8])> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    Some((HeaderValue::from_bytes(&input[..end]).ok()?, &input[end + 1..]))
}
