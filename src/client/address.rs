//! What may be called: a base URL that is configured, and paths below it.

use std::net::IpAddr;

use reqwest::Url;

use super::{ClientError, ClientOptions};
use crate::outbound;

/// The base URL that a text means: a host alone, or a URL, to which `path` is added if it has none.
pub(super) fn base(given: &str, path: &str, options: &ClientOptions) -> Result<Url, ClientError> {
    let refused = |expected| ClientError::Unusable {
        field: "the base URL",
        value: outbound::without_secrets(given),
        expected,
    };
    let text = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
    let mut url =
        Url::parse(&text).map_err(|_| refused("a host like api.example.com, or a URL with https"))?;
    match url.scheme() {
        "https" => {}
        "http" if options.allow_http || is_this_machine(&url) => {}
        "http" => return Err(refused("https, as the credentials would travel unencrypted")),
        _ => return Err(refused("a host like api.example.com, or a URL with https")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().or(url.fragment()).is_some() {
        return Err(refused("a URL without user, password, query and fragment"));
    }
    if url.path().trim_matches('/').is_empty() {
        url.set_path(path);
    }
    Ok(url)
}

/// Refuses a path that is more than plain words with single slashes between them; `expected` says so in the vendor's
/// own words.
pub(super) fn check_path(path: &str, expected: &'static str) -> Result<(), ClientError> {
    if path.split('/').all(is_plain) {
        return Ok(());
    }
    Err(ClientError::Unusable { field: "the path", value: path.to_owned(), expected })
}

/// Whether a path's part is nothing but that: it can't leave the folder, nor begin a query.
fn is_plain(segment: &str) -> bool {
    (1..=64).contains(&segment.len())
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(given: &str) -> Result<String, String> {
        let parsed = super::base(given, "/api/remap/1.2", &ClientOptions::default());
        parsed.map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn a_host_is_enough_and_a_path_of_its_own_is_kept() {
        for (given, expected) in [
            ("api.kladana.com", "https://api.kladana.com/api/remap/1.2"),
            ("https://api.kladana.com/", "https://api.kladana.com/api/remap/1.2"),
            ("https://proxy.example/kladana/v1", "https://proxy.example/kladana/v1"),
            ("api.example:8443", "https://api.example:8443/api/remap/1.2"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9/api/remap/1.2"),
            ("http://[::1]:9", "http://[::1]:9/api/remap/1.2"),
            ("http://localhost:9", "http://localhost:9/api/remap/1.2"),
        ] {
            assert_eq!(base(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_would_leak_the_credentials_is_refused() {
        for (given, expected) in [
            ("http://api.kladana.com", "the credentials would travel unencrypted"),
            ("http://127.0.0.1.evil.example", "the credentials would travel unencrypted"),
            ("http://localhost.evil.example", "the credentials would travel unencrypted"),
            ("ftp://api.kladana.com", "a URL with https"),
            ("", "a host like"),
            ("https://", "a host like"),
            ("https://api.kladana.com/?a=b", "without user, password, query"),
        ] {
            let error = base(given).unwrap_err();
            assert!(error.contains("the base URL") && error.contains(expected), "{given}: {error}");
        }
        let error = base("https://me:hunter2@api.kladana.com").unwrap_err();
        assert!(error.contains("without user") && !error.contains("hunter2"), "{error}");
        let options = ClientOptions { allow_http: true, ..ClientOptions::default() };
        assert!(super::base("http://vendor.test", "/api", &options).is_ok());
    }
}
