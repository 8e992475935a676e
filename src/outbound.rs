//! How calls over HTTP leave this process: what all clients have in common.

use std::time::Duration;

use http::HeaderMap;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{Client, ClientBuilder, Url, redirect};

use crate::{clock::Timestamp, tls};

/// How long the other side may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Shorter than the 5 s after which Node.js and Uvicorn close theirs: a request
/// sent into a connection that is just being closed is lost.
const IDLE: Duration = Duration::from_secs(4);
/// The longest time that a reply may ask to be left alone for.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A pooled client that calls what it is told to and nothing else: it follows no redirects and takes no proxy from the
/// environment. It speaks HTTP/1.1, over TLS with the certificates that the machine trusts, and asks for no
/// compression unless `configure` says so.
///
/// Makes ring the process' TLS provider if none has been chosen yet. On a machine without trusted certificates it
/// warns, and calls to `https` fail.
///
/// # Errors
/// TLS can't be set up.
pub(crate) fn http_client(
    configure: impl Fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, reqwest::Error> {
    tls::choose_provider();
    let builder = || {
        let builder = Client::builder()
            .user_agent(concat!("doorbell/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_gzip()
            .no_proxy();
        configure(builder)
    };
    builder().build().or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "no trusted certificates were found, so calls to https will fail; install ca-certificates"
        );
        builder().tls_certs_only([]).build()
    })
}

/// Reads `Retry-After`: seconds or an HTTP date, a day at most. A time that is zero or over says nothing.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = DateTimeParser::new().parse_timestamp(value).ok()?;
        Timestamp::from_millis(at.as_millisecond()).since(now)
    };
    (!after.is_zero()).then(|| after.min(LONGEST_RETRY_AFTER))
}

/// The origin that a redirect points to, if it names one: not the path, which may repeat a secret.
pub(crate) fn redirect_origin(headers: &HeaderMap) -> Option<String> {
    let to = Url::parse(headers.get(http::header::LOCATION)?.to_str().ok()?).ok()?;
    Some(to.origin().ascii_serialization())
}

/// What is left of a URL that is refused once its user, password, query and fragment are gone.
pub(crate) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.rsplit_once('@') {
        Some((before, after)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…@{after}"),
            None => format!("…@{after}"),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse_rfc3339("2026-01-23T09:48:17Z").unwrap();
        let seconds = |text: &str| {
            let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|after| after.as_secs())
        };
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Fri, 23 Jan 2026 09:50:17 GMT"), Some(120));
        assert_eq!(seconds("99999999999"), Some(24 * 3600));
        assert_eq!(seconds("Fri, 01 Jan 2100 00:00:00 GMT"), Some(24 * 3600));
        for nothing in ["0", "Fri, 23 Jan 2026 09:48:16 GMT", "", "soon", "-5", "1.5"] {
            assert_eq!(seconds(nothing), None, "{nothing}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_redirect_is_told_by_its_origin_alone() {
        let origin = |to: &str| {
            redirect_origin(&HeaderMap::from_iter([(http::header::LOCATION, to.parse().unwrap())]))
        };
        let to = origin("https://me:hunter2@api.example:8443/a?token=b");
        assert_eq!(to.as_deref(), Some("https://api.example:8443"));
        assert_eq!(origin("/elsewhere"), None, "the same host");
        assert_eq!(redirect_origin(&HeaderMap::new()), None);
    }
}
