//! A provider's requests from the sender's side.

use std::fmt;

use http::{HeaderMap, Method, header::InvalidHeaderValue};

use super::{Request, SchemeError};

/// A request, ready to be sent or verified. Prints its headers' names, as a secret may be among their values, and how many
/// bytes the body has.
///
/// ```
/// use doorbell::{clock::Timestamp, provider::{Hmac, Preset, Provider}};
///
/// let github = Hmac::preset(Preset::Github, "a-made-up-secret")?;
/// let now = Timestamp::from_seconds(1_767_168_200);
/// let mut request = github.sign_request("7", now, br#"{"zen":"Design for failure."}"#.to_vec())?;
/// assert!(github.verify(&request.as_request(), now).is_ok());
///
/// request.body.push(b' ');
/// assert!(github.verify(&request.as_request(), now).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedRequest {
    /// The method: always `POST` as yet.
    pub method: Method,
    /// What the sender adds to the URL that it was given, without a question mark.
    pub query: Option<String>,
    /// The headers that the sender sets itself; `Host` and `Content-Length` are the client's business.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl SignedRequest {
    /// A `POST` of this body, with no header yet.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { method: Method::POST, query: None, headers: HeaderMap::new(), body: body.into() }
    }

    /// The request as a provider sees it, sent to a path without a secret.
    pub fn as_request(&self) -> Request<'_> {
        self.as_request_to("/")
    }

    /// The request as a provider sees it whose sender signs its URL: sent to this path and query.
    pub fn as_request_to<'a>(&'a self, target: &'a str) -> Request<'a> {
        let request = Request::new(&self.headers, &self.body).sent_to(&self.method, target);
        Request { query: self.query.as_deref().or(request.query), ..request }
    }

    /// The request as a provider sees it, sent to a path with the right secret.
    pub fn with_path_secret(&self) -> Request<'_> {
        Request { path_secret_matched: true, ..self.as_request() }
    }
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

/// Why a request can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// This sender signs, and there is no secret to sign with.
    #[error("this sender signs its requests: give the secret that it shares with the receiver")]
    NoSecret,
    /// The secret is not one of this sender's.
    #[error(transparent)]
    Secret(SchemeError),
    /// The body is not one of this sender's.
    #[error("the body can't be signed as this sender would: {0}")]
    Body(String),
    /// Something can't stand in a header.
    #[error("the secret or the id holds characters that can't stand in a header")]
    Header,
    /// The provider only checks requests.
    #[error(
        "the provider {0:?} can't sign requests: implement `Provider::sign_request` for it, or send a `SignedRequest` \
         that you have signed yourself"
    )]
    Unsupported(String),
}

impl From<SchemeError> for SignError {
    fn from(error: SchemeError) -> Self {
        match error {
            SchemeError::NoSecret => Self::NoSecret,
            other => Self::Secret(other),
        }
    }
}

impl From<InvalidHeaderValue> for SignError {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::Header
    }
}
