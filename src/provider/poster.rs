//! Poster POS: an md5 over some of the fields, carried in the body itself.
//!
#![doc = include_str!("poster/guide.md")]

mod data;
mod event;
mod message;
mod sign;

use std::sync::LazyLock;

use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use self::message::{Content, Message};
pub use self::{
    data::{
        Application, Balance, Data, ElementType, IncomingOrder, IncomingOrderType, StepType, Stock,
        Transaction, TransactionStep,
    },
    event::{Action, Event, Object},
};
use super::{
    Parsed, ParsedEvent, Profile, Provider, Refusal, Reply, Request, Secret, Secrets, SenderId, SignError,
    SignedRequest, Slices, Unparsable, Verdict, words::kinds,
};
use crate::clock::Timestamp;

/// What the vendor's page says may happen to any object, and the one kind beyond it that is seen. A test makes no event, so
/// a route that waited for one would wait in vain.
static KINDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let documented = [Action::Added, Action::Changed, Action::Removed, Action::Transformed];
    [kinds(Object::KNOWN, &documented), kinds(&[Object::Transaction], &[Action::Closed])].concat()
});

/// Poster POS.
///
/// ```
/// use doorbell::{clock::Timestamp, provider::{Poster, Provider, Request, Verdict}};
///
/// let body = br#"{"account":"demo-cafe","object":"transaction","object_id":41873,"action":"closed",
///     "time":"1767168000","verify":"681f0763260c9bd0c2b40a54d7a6f69a","account_number":"401122"}"#;
/// let poster = Poster::new("5d8e1c0f47a94b62b3f0a7c1e9d24680");
/// let verdict = poster.verify(&Request::new(&Default::default(), body), Timestamp::from_seconds(1_767_168_001))?;
/// let Verdict::Accept { events, .. } = verdict else { panic!("{verdict:?}") };
/// assert_eq!(events[0].kind, "transaction.closed");
/// # Ok::<(), doorbell::provider::Refusal>(())
/// ```
///
/// `account_number` is in the body but not in the signature: nothing here relies on it, and nothing should.
#[derive(Debug, Clone)]
pub struct Poster {
    secrets: Secrets,
    accept_object_data: bool,
}

impl Poster {
    /// Poster with the application's secret, or several while it is changed.
    pub fn new(secrets: impl Into<Secrets>) -> Self {
        Self { secrets: secrets.into(), accept_object_data: false }
    }

    /// Whether `data` may be a JSON object or array, not only a string. The sender was never seen to do that and
    /// does not say how it would sign it; if accepted, the object's text is taken as it stands. Default: no.
    pub fn accept_object_data(mut self, accept: bool) -> Self {
        self.accept_object_data = accept;
        self
    }

    /// Whether the message carries the right signature.
    fn prove(&self, message: &Message<'_>) -> Result<(), Refusal> {
        let Some(verify) = &message.verify else {
            return Err(Refusal::MissingProof("`verify` in the body".into()));
        };
        // Exactly 32 hexadecimal digits: PHP's loose comparison took "0e…" strings for equal numbers.
        let mut claimed = [0; 16];
        hex::decode_to_slice(verify.as_bytes(), &mut claimed).map_err(|_| Refusal::MalformedProof {
            field: "`verify`".into(),
            expected: "a string of 32 hexadecimal digits",
        })?;
        if matches!(message.data, Content::Structured(_)) && !self.accept_object_data {
            return Err(Refusal::Unreadable(
                "`data` is not a string; if your sender really signs objects, set accept_object_data".into(),
            ));
        }
        for (field, value) in message.separated() {
            if value.contains(';') {
                return Err(Refusal::Ambiguous { field, separator: ';' });
            }
        }
        let right = self.secrets.iter().fold(Choice::from(0), |right, secret| {
            let right = right | digest(message, message.data.text(), secret).ct_eq(&claimed);
            match message.data.text() {
                // Whether an empty `data` counts as given is not documented: either is accepted.
                Some("") => right | digest(message, None, secret).ct_eq(&claimed),
                _ => right,
            }
        });
        if right.into() { Ok(()) } else { Err(Refusal::WrongProof("`verify`".into())) }
    }
}

impl Provider for Poster {
    fn name(&self) -> &'static str {
        "poster"
    }

    fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
        self.prove(&Message::read(request.body).map_err(Refusal::Unreadable)?)
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        Ok(parsed(&Message::read(request.body).map_err(Unparsable::new)?))
    }

    /// Reads the body once for both questions.
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<Verdict, Refusal> {
        let message = Message::read(request.body).map_err(Refusal::Unreadable)?;
        self.prove(&message)?;
        Ok(Ok(parsed(&message)).into())
    }

    fn profile(&self) -> Profile {
        Profile {
            deadline: std::time::Duration::from_millis(1500),
            success: Reply::json(r#"{"status":"accept"}"#),
            lacks_secret: self.secrets.is_empty() || self.secrets.had_empty(),
            ..Profile::default()
        }
    }

    fn known_kinds(&self) -> &[&str] {
        &KINDS
    }

    fn sign_request(&self, _id: &str, _now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        sign::sign(&body, self.secrets.iter().next().ok_or(SignError::NoSecret)?)
    }
}

/// The md5 of the signed fields and the secret, with `;` between them.
fn digest(message: &Message<'_>, data: Option<&str>, secret: &Secret) -> [u8; 16] {
    let mut md5 = Md5::new();
    for field in [&message.account, &message.object, &message.object_id, &message.action] {
        md5.update(field.as_bytes());
        md5.update(b";");
    }
    if let Some(data) = data {
        md5.update(data.as_bytes());
        md5.update(b";");
    }
    md5.update(message.time.as_bytes());
    md5.update(b";");
    md5.update(secret.expose());
    md5.finalize().into()
}

fn parsed(message: &Message<'_>) -> Parsed {
    if message.action == "test" {
        return Parsed::Test;
    }
    let object = message.object.to_ascii_lowercase().replace(' ', "_");
    Parsed::Events {
        sender_id: Some(sender_id(message)),
        events: vec![ParsedEvent {
            kind: format!("{object}.{}", message.action.to_ascii_lowercase()),
            subject: Some(format!("{object}/{}", message.object_id)),
            occurred_at: message.time.parse().ok().map(Timestamp::from_seconds),
            data: Slices::WHOLE,
        }],
    }
}

/// Poster sends no id: what is signed stands in for it. Each field is preceded by its length, so that none leaks
/// into the next; an empty `data` counts as none, because the same signature may fit both.
fn sender_id(message: &Message<'_>) -> SenderId {
    let mut sha256 = Sha256::new();
    let data = message.data.text().unwrap_or_default();
    for field in [&message.account, &message.object, &message.object_id, &message.action, &message.time, data]
    {
        sha256.update((field.len() as u64).to_le_bytes());
        sha256.update(field.as_bytes());
    }
    let mut value = vec![0; 2 * Sha256::output_size()];
    // The length is right, and hexadecimal digits are text: neither can fail.
    let _ = hex::encode_to_slice(sha256.finalize(), &mut value);
    SenderId { value: String::from_utf8(value).unwrap_or_default(), signed: true }
}
