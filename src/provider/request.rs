//! What goes into a provider.

use http::HeaderMap;

/// What a provider looks at: one HTTP request, its body as it came.
///
/// ```
/// use doorbell::provider::Request;
/// use http::{HeaderMap, HeaderName, HeaderValue};
///
/// let headers = HeaderMap::from_iter([(HeaderName::from_static("x-event-id"), HeaderValue::from_static("7"))]);
/// let request = Request { query: Some("requestId=a%20b"), ..Request::new(&headers, b"{}") };
/// assert_eq!(request.header("X-Event-Id"), Some("7"));
/// assert_eq!(request.query_value("requestId").as_deref(), Some("a b"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The query string, without its question mark and still percent-encoded.
    pub query: Option<&'a str>,
    /// The headers. Names are matched without regard to case.
    pub headers: &'a HeaderMap,
    /// The body, to the byte as it was sent.
    pub body: &'a [u8],
    /// Whether the request's path held the source's secret. It is the only proof for senders that sign nothing.
    pub path_secret_matched: bool,
}

impl<'a> Request<'a> {
    /// A request with these headers and this body, without query and path secret.
    pub fn new(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { query: None, headers, body, path_secret_matched: false }
    }

    /// A header's value, if it is there and is printable text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter, percent-decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query?.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}
