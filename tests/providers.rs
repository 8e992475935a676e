//! Each provider's promises: what it takes, what it refuses and why, and what it reads.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

#[path = "providers/samples.rs"]
mod samples;
#[path = "providers/schemes.rs"]
mod schemes;
#[path = "providers/typed.rs"]
mod typed;
#[path = "providers/vectors.rs"]
mod vectors;
#[path = "providers/vendors.rs"]
mod vendors;

use doorbell::{
    clock::Timestamp,
    provider::{ParsedEvent, Provider, Refusal, Request, SenderId, Verdict},
};
use http::{HeaderMap, HeaderName, HeaderValue};

const POSTER_SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

fn now() -> Timestamp {
    Timestamp::from_seconds(1_767_168_300)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect()
}

/// A request on a path with the right secret.
fn proved<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Request<'a> {
    Request { path_secret_matched: true, ..Request::new(headers, body) }
}

fn verify(provider: &dyn Provider, body: &[u8]) -> Result<Verdict, Refusal> {
    provider.verify(&Request::new(&HeaderMap::new(), body), now())
}

#[track_caller]
fn accepted(verdict: Result<Verdict, Refusal>) -> (Option<SenderId>, Vec<ParsedEvent>) {
    match verdict {
        Ok(Verdict::Accept { sender_id, events }) => (sender_id, events),
        other => panic!("not accepted: {other:?}"),
    }
}

#[track_caller]
fn refused(verdict: Result<Verdict, Refusal>) -> &'static str {
    match verdict {
        Err(refusal) => refusal.reason(),
        Ok(verdict) => panic!("not refused: {verdict:?}"),
    }
}

fn unsigned(value: &str) -> SenderId {
    SenderId { value: value.into(), signed: false }
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/samples/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
