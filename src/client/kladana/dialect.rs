//! What Kladana's answers say about limits and errors.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::{
    client::dialect::{Answer, Dialect, Fault, FaultKind},
    clock::Timestamp,
    rate::Pace,
};

/// The JSON API 1.2, which its hosts call `remap`.
#[derive(Debug)]
pub(super) struct Remap;

/// Too many calls at once, as opposed to too many in a time (1049).
const TOO_MANY_AT_ONCE: i64 = 1073;

impl Remap {
    /// How many units may be used at once. With what comes back within 3 s these are 41 of the 45 that the vendor gives:
    /// calls that leave evenly do not arrive so.
    pub(super) const BURST: u8 = 5;
    const INTERVAL: Duration = Duration::from_millis(3000 / 36);
}

impl Dialect for Remap {
    fn name(&self) -> &'static str {
        "kladana"
    }

    fn fault(&self, answer: &Answer) -> Option<Fault> {
        let kind = FaultKind::of(answer.status)?;
        let (code, message) = errors(&answer.body);
        if kind == FaultKind::NotFound && message.is_empty() {
            // The API says in its own words that an entity is not there. Here somebody else says that there is no such path,
            // a proxy or another API: that is no news of the entity.
            let message =
                "not the API's own words: the base URL may lack its path, /api/remap/1.2".to_owned();
            return Some(Fault { kind: FaultKind::Refused, code, message });
        }
        Some(Fault { kind, code, message })
    }

    fn retry_after(&self, headers: &HeaderMap, _: Timestamp) -> Option<Duration> {
        // The first says how long it still is, the second how long the whole window is.
        millis(headers, "x-lognex-retry-after").or_else(|| millis(headers, "x-lognex-retry-timeinterval"))
    }

    fn rest(&self, answer: &Answer, units: usize) -> Option<Duration> {
        let headers = &answer.headers;
        if FaultKind::of(answer.status) == Some(FaultKind::RateLimited) {
            let at_once = errors(&answer.body).0 == Some(TOO_MANY_AT_ONCE);
            return millis(headers, "x-lognex-retry-after").filter(|_| !at_once);
        }
        let remaining = number(headers, "x-ratelimit-remaining")?;
        if remaining >= units as u64 {
            return None;
        }
        millis(headers, "x-lognex-reset").or_else(|| millis(headers, "x-lognex-retry-timeinterval"))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { interval: Self::INTERVAL, burst: u32::from(Self::BURST) })
    }

    fn url_limit(&self) -> usize {
        // The whole head of a request may have 8 KB; the rest of it is a few hundred bytes.
        7_000
    }
}

/// A header's milliseconds; `None` for zero, which says that there is no limit in force.
fn millis(headers: &HeaderMap, name: &str) -> Option<Duration> {
    number(headers, name).filter(|millis| *millis > 0).map(Duration::from_millis)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The first code and all messages of `{"errors":[…]}`, or of an array in which some members are such.
fn errors(body: &[u8]) -> (Option<i64>, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let several = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
    let errors: Vec<_> = several.iter().filter_map(|one| one["errors"].as_array()).flatten().collect();
    let message = |error: &&Value| {
        let text = error["error"].as_str().or(error["error_message"].as_str()).unwrap_or("no message");
        let code = error["code"].as_i64().map(|code| format!(" (error {code})")).unwrap_or_default();
        let parameter = error["parameter"].as_str().map(|name| format!(" in {name}")).unwrap_or_default();
        format!("{text}{parameter}{code}")
    };
    let code = errors.iter().find_map(|error| error["code"].as_i64());
    (code, errors.iter().map(message).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_alone_or_in_bulk() {
        let sample = include_bytes!("../../../tests/samples/kladana_api_error.json");
        let (code, message) = errors(sample);
        assert_eq!(code, Some(30003));
        assert!(
            message.starts_with("Error saving webhook: a webhook with this set of")
                && message.ends_with("(error 30003)")
        );
        let bulk = br#"[{"errors":[{"error":"no name","code":3000,"parameter":"name"}]},{"id":"1"},{"errors":[{"error":"no such","code":1021},{}]}]"#;
        let expected = "no name in name (error 3000); no such (error 1021); no message";
        assert_eq!(errors(bulk), (Some(3000), expected.to_owned()));
        for nothing in ["", "<html>", "[]", "{}", r#"{"errors":{}}"#, "null"] {
            assert_eq!(errors(nothing.as_bytes()), (None, String::new()), "{nothing}");
        }
    }

    #[test]
    fn times_are_milliseconds_and_zero_is_none() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            Remap.retry_after(&headers, Timestamp::from_millis(0)).map(|after| after.as_millis())
        };
        assert_eq!(
            read(&[("x-lognex-retry-after", "1500"), ("x-lognex-retry-timeinterval", "3000")]),
            Some(1500)
        );
        assert_eq!(
            read(&[("x-lognex-retry-after", "0"), ("x-lognex-retry-timeinterval", "3000")]),
            Some(3000)
        );
        assert_eq!(read(&[("retry-after", "7")]), None);
        assert_eq!(read(&[("x-lognex-retry-after", "-1")]), None);
    }
}
