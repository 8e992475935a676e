//! What a provider looks at.

use std::fmt;

use http::{HeaderMap, Method};

/// What a provider looks at: one HTTP request, its body as it came.
///
/// ```
/// use doorbell::provider::Request;
/// use http::{HeaderMap, HeaderName, HeaderValue, Method};
///
/// let headers = HeaderMap::from_iter([(HeaderName::from_static("x-event-id"), HeaderValue::from_static("7"))]);
/// let request = Request { query: Some("requestId=a%20b"), ..Request::new(&headers, b"{}") };
/// assert_eq!(request.header("X-Event-Id"), Some("7"));
/// assert_eq!(request.query_value("requestId").as_deref(), Some("a b"));
///
/// // With its method and target, for senders that sign them.
/// let request = Request::new(&headers, b"{}").sent_to(&Method::POST, "/in/erp/0f1e2d3c?requestId=7");
/// assert_eq!((request.method(), request.target()), (&Method::POST, "/in/erp/0f1e2d3c?requestId=7"));
/// assert_eq!(request.query, Some("requestId=7"));
/// assert!(!format!("{request:?}").contains("0f1e2d3c")); // it may be a secret
/// ```
///
/// Prints neither target, query nor headers' values, any of which may hold a secret: proxies pass the path on in headers.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The query string, without its question mark and still percent-encoded.
    pub query: Option<&'a str>,
    /// The headers. Names are matched without regard to case.
    pub headers: &'a HeaderMap,
    /// The body, to the byte as it was sent.
    pub body: &'a [u8],
    /// Whether the request's path held the source's secret. It is the only proof for senders that sign nothing.
    pub path_secret_matched: bool,
    /// What [`method`](Self::method) and [`target`](Self::target) give.
    pub line: RequestLine<'a>,
}

impl<'a> Request<'a> {
    /// A request with these headers and this body, without query and path secret: a `POST` to `/`, where
    /// [`sent_to`](Self::sent_to) says nothing else.
    pub fn new(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { query: None, headers, body, path_secret_matched: false, line: RequestLine::default() }
    }

    /// The same with this method and target, and the target's query.
    pub fn sent_to(self, method: &'a Method, target: &'a str) -> Self {
        let query = target.split_once('?').map(|(_, query)| query);
        Self { query, line: RequestLine::new(method, target), ..self }
    }

    /// The method: `POST` wherever Doorbell takes a request in, as it answers probes by `GET` and `HEAD` itself.
    pub fn method(&self) -> &'a Method {
        self.line.method
    }

    /// The path and query as the sender sent them, percent-encoded, for senders that sign their URL (Twilio, Square,
    /// HubSpot): `/in/calls?lang=en`. Inside of an axum application also what the request was
    /// [nested](https://docs.rs/axum/0.8/axum/struct.Router.html#method.nest) under.
    ///
    /// - **It may hold the path secret.** Compare with it, and put it into no message. It prints as `[REDACTED]`.
    /// - **Scheme and host are not in it.** Such senders sign the whole URL: give your provider the public one as a setting.
    ///   `Host` and `X-Forwarded-*` are what whoever calls has written, or a proxy.
    /// - **A reverse proxy may change it.** It may strip or add a prefix, decode or encode characters anew, merge slashes,
    ///   resolve `..`, or sort the query. Then no signature fits any more: have it forward the path as it is (nginx:
    ///   `proxy_pass http://127.0.0.1:8080;`, without a path of its own), or put what it strips in front again.
    /// - **It is there for [`authenticate`](super::Provider::authenticate).** It is not stored, so a delivery that is read
    ///   again later by [`parse`](super::Provider::parse) has the default, `/`.
    ///
    /// ```
    /// use doorbell::{clock::Timestamp, provider::{Parsed, ParsedEvent, Provider, Refusal, Request, Secrets, Unparsable}};
    /// use hmac::{Hmac, KeyInit, Mac};
    /// use http::{HeaderMap, HeaderValue, Method};
    /// use sha2::Sha256;
    ///
    /// /// Signs the method, its URL and the body.
    /// #[derive(Debug)]
    /// struct Switchboard {
    ///     secrets: Secrets,
    ///     /// What stands before the path in the URL that the sender was given.
    ///     public_url: &'static str,
    /// }
    ///
    /// impl Switchboard {
    ///     fn signed(&self, key: &[u8], request: &Request<'_>) -> Option<Hmac<Sha256>> {
    ///         let mac = Hmac::new_from_slice(key).ok()?.chain_update(request.method().as_str());
    ///         Some(mac.chain_update(self.public_url).chain_update(request.target()).chain_update(request.body))
    ///     }
    /// }
    ///
    /// impl Provider for Switchboard {
    ///     fn name(&self) -> &str {
    ///         "switchboard"
    ///     }
    ///
    ///     fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
    ///         let proof = || "`Signature` header".into();
    ///         let signature = request.header("signature").ok_or_else(|| Refusal::MissingProof(proof()))?;
    ///         let signature = hex::decode(signature).map_err(|_| Refusal::WrongProof(proof()))?;
    ///         let right = |mac: Hmac<Sha256>| mac.verify_slice(&signature).is_ok();
    ///         let mut keys = self.secrets.iter();
    ///         match keys.any(|key| self.signed(key.expose(), request).is_some_and(right)) {
    ///             true => Ok(()),
    ///             false => Err(Refusal::WrongProof(proof())),
    ///         }
    ///     }
    ///
    ///     fn parse(&self, _: &Request<'_>) -> Result<Parsed, Unparsable> {
    ///         Ok(Parsed::Events { sender_id: None, events: vec![ParsedEvent::new("call.ended")] })
    ///     }
    /// }
    ///
    /// let calls = Switchboard { secrets: "a-made-up-secret".into(), public_url: "https://hooks.example.com" };
    /// let signature = "e6ae86433cd8938eec767a46c465fd60e4085f2d394a396403b400aa0d291c24";
    /// let headers = HeaderMap::from_iter([("signature".parse()?, HeaderValue::from_static(signature))]);
    /// let (request, now) = (Request::new(&headers, b"{}"), Timestamp::from_seconds(1_767_168_200));
    /// assert!(calls.verify(&request.sent_to(&Method::POST, "/in/calls?lang=en"), now).is_ok());
    /// assert!(calls.verify(&request.sent_to(&Method::POST, "/in/calls?lang=de"), now).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn target(&self) -> &'a str {
        self.line.target
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

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("line", &self.line)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("path_secret_matched", &self.path_secret_matched)
            .finish_non_exhaustive()
    }
}

/// A request's method and target. Prints the target, which may hold a path secret, as `[REDACTED]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'a> {
    method: &'a Method,
    target: &'a str,
}

impl<'a> RequestLine<'a> {
    /// This method, and this path and query.
    pub fn new(method: &'a Method, target: &'a str) -> Self {
        Self { method, target }
    }

    /// The target of a request to this URI.
    #[cfg(feature = "axum")]
    pub(crate) fn of(method: &'a Method, uri: &'a http::Uri) -> Self {
        Self { method, target: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str) }
    }
}

/// A `POST` to `/`.
impl Default for RequestLine<'_> {
    fn default() -> Self {
        static POST: Method = Method::POST;
        Self { method: &POST, target: "/" }
    }
}

impl fmt::Debug for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [REDACTED]", self.method)
    }
}
