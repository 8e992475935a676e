//! What is kept of a request's headers: nothing that opens a door.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serializer;

use super::paths::PathSecret;

/// What stands in for a value that may be a secret.
const MASK: &str = "[REDACTED]";

/// The headers to store, as a JSON array of pairs in the order in which they came.
///
/// Left out: `Authorization`, cookies, whatever is named like a credential, and any value that holds the path secret
/// (proxies pass the original path on). Signatures stay: without the key they open nothing.
pub(super) fn to_keep(headers: &HeaderMap, secret: Option<&PathSecret<'_>>) -> String {
    let kept = headers
        .iter()
        .filter(|(name, value)| !names_credential(name) && !holds(value, secret))
        .map(|(name, value)| (name.as_str(), value.to_str().map_or_else(|_| lossy(value), Into::into)));
    let mut json = Vec::with_capacity(512);
    // Neither writing to memory nor serialising text can fail.
    let _ = serde_json::Serializer::new(&mut json).collect_seq(kept);
    String::from_utf8(json).unwrap_or_default()
}

/// A provider's text without the path secret: it sees the request's target, and may say what it saw.
pub(super) fn hide(text: &str, secret: Option<&PathSecret<'_>>) -> String {
    let Some(secret) = secret.filter(|secret| !secret.raw.is_empty()) else { return text.to_owned() };
    let text = text.replace(secret.raw, MASK);
    match std::str::from_utf8(&secret.decoded) {
        Ok(decoded) if decoded != secret.raw => text.replace(decoded, MASK),
        _ => text,
    }
}

/// All headers' names, with the values of those that can't be a secret.
pub(super) fn masked(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let shown = if is_harmless(name) { lossy(value).into_owned() } else { MASK.to_owned() };
            (name.as_str().to_owned(), shown)
        })
        .collect()
}

fn names_credential(name: &HeaderName) -> bool {
    // Most headers of most requests: no need to look for every word in them.
    if is_harmless(name) {
        return false;
    }
    ["authorization", "cookie", "secret", "token", "api-key", "apikey", "password", "credential"]
        .iter()
        .any(|word| name.as_str().contains(word))
}

fn is_harmless(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "accept"
            | "accept-encoding"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "date"
            | "expect"
            | "host"
            | "transfer-encoding"
            | "user-agent"
            | "x-forwarded-for"
            | "x-forwarded-proto"
            | "x-real-ip"
    )
}

fn holds(value: &HeaderValue, secret: Option<&PathSecret<'_>>) -> bool {
    secret.is_some_and(|secret| {
        let within = |part: &[u8]| value.as_bytes().windows(part.len().max(1)).any(|window| window == part);
        within(secret.raw.as_bytes()) || within(&secret.decoded)
    })
}

fn lossy(value: &HeaderValue) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn nothing_that_opens_a_door_is_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-share-api-key", "k"),
            ("x-gitlab-token", "t"),
            ("x-original-uri", "/in/erp/s%2Fe"),
            ("x-signature", "sha256=ab"),
            ("x-forwarded-for", "192.0.2.1"),
            ("content-type", "application/json"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9 \"q\"").unwrap());
        let secret = PathSecret { raw: "s%2Fe", decoded: Cow::Borrowed(b"s/e") };
        let kept: Vec<(String, String)> = serde_json::from_str(&to_keep(&headers, Some(&secret))).unwrap();
        assert_eq!(
            kept,
            [
                ("x-signature", "sha256=ab"),
                ("x-forwarded-for", "192.0.2.1"),
                ("content-type", "application/json"),
                ("x-latin", "caf\u{fffd} \"q\""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );

        let masked = masked(&headers);
        assert_eq!(masked.len(), headers.len());
        assert!(masked.iter().all(|(_, value)| !value.contains("Bearer") && !value.contains("%2F")));
        assert!(masked.contains(&("content-type".into(), "application/json".into())));
        assert!(masked.contains(&("x-signature".into(), "[REDACTED]".into())));
    }
}
