//! A sender that Doorbell does not know: a provider of one's own, in one file.
//!
//! ```sh
//! cargo run --example custom_provider
//! # and in another terminal, as the sender would:
//! body='{"batch":"b-17","events":[{"type":"Parcel.Sent","parcel":"4711","at":"2026-01-23T09:48:17Z"},{"type":"Parcel.Lost","parcel":"4712"}]}'
//! signature=$(printf %s "$body" | openssl dgst -sha256 -hmac a-made-up-secret -binary | base64)
//! curl -d "$body" -H "Parcel-Signature: $signature" http://127.0.0.1:8080/in/parcels
//! ```
//!
//! Crates that it needs beside `doorbell`: `base64`, `hmac`, `serde`, `serde_json`, `sha2` and `tokio`.
//!
//! The made-up courier of this example signs the body by HMAC, and sends several events in one request. (A sender with one
//! event in each needs no code: `Hmac` with a `Scheme` knows all the usual ways to sign.)

use base64::{Engine, prelude::BASE64_STANDARD};
use doorbell::{
    Event, HandlerError, Job, Receiver,
    clock::Timestamp,
    provider::{
        Parsed, ParsedEvent, Profile, Provider, Refusal, Reply, Request, Secrets, SenderId, Slices,
        Unparsable,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

/// The sender, with the secrets that are valid now: two while one is changed. `Secrets` prints `[REDACTED]`, so that
/// `Debug` can be derived.
#[derive(Debug)]
struct Parcels {
    secrets: Secrets,
}

/// Where the sender puts its signature.
const SIGNATURE: &str = "parcel-signature";

/// What is read of a body. Whatever else is in it is the handlers' business: they get each event to the byte as it came.
#[derive(Deserialize)]
struct Batch<'a> {
    batch: Option<String>,
    /// Borrowed from the body, so that it is known where in it each event stands.
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
    parcel: Option<String>,
    at: Option<String>,
}

impl Provider for Parcels {
    /// In lower case. The events' type for consumers begins with it: `parcels.parcel.sent`.
    fn name(&self) -> &'static str {
        "parcels"
    }

    /// First question: does the sender own the secret? Nothing of the body has been read yet, and nothing may be believed.
    /// `now` is for senders that sign a time; this one does not.
    fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
        // Each way to fail has its own reason. The operator sees it (`doorbell refused`); the sender gets a bare 401.
        let header =
            request.header(SIGNATURE).ok_or(Refusal::MissingProof("`Parcel-Signature` header".into()))?;
        let signature = BASE64_STANDARD.decode(header).map_err(|_| Refusal::MalformedProof {
            field: "the `Parcel-Signature` header".into(),
            expected: "base64",
        })?;
        // Over the bytes as they came, never over JSON that was read and written again.
        let right = self.secrets.iter().any(|secret| {
            Hmac::<Sha256>::new_from_slice(secret.expose())
                // `verify_slice` takes the same time for every wrong signature; `==` would tell how much was right.
                .is_ok_and(|mac| mac.chain_update(request.body).verify_slice(&signature).is_ok())
        });
        if right { Ok(()) } else { Err(Refusal::WrongProof("the `Parcel-Signature` header".into())) }
    }

    /// Second question: what does it say? Asked only if the first had the answer yes. What can't be read is no refusal:
    /// the delivery is kept aside (quarantined) and answered with success, as the sender would only repeat it.
    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        let batch: Batch<'_> = serde_json::from_slice(request.body)
            .map_err(|error| Unparsable::new(format!("the body is no batch: {error}")))?;
        // The sender's own id, the same when it sends the batch again: by this it is recognised. It stands in the body,
        // so the signature covers it.
        let sender_id = batch.batch.map(|value| SenderId { value, signed: true });
        let events = batch.events.into_iter().map(|raw| event(request.body, raw)).collect::<Result<_, _>>();
        match events {
            Ok(events) => Ok(Parsed::Events { sender_id, events }),
            // With its id, so that its repetitions are recognised all the same.
            Err(unparsable) => Err(unparsable.with_sender_id(sender_id)),
        }
    }

    /// How long the sender waits, what it takes for success, and whether there is a secret to check it by: no receiver is
    /// built without. The rest is as with most.
    fn profile(&self) -> Profile {
        let mut profile = Profile::default();
        profile.deadline = std::time::Duration::from_secs(3);
        profile.success = Reply::json(r#"{"received":true}"#);
        profile.lacks_secret = self.secrets.is_empty() || self.secrets.had_empty();
        profile
    }

    /// What it is documented to send: a route that waits for anything else is refused at the start.
    fn known_kinds(&self) -> &[&str] {
        &["parcel.*"]
    }
}

/// One event of a batch. Routes go by its kind, handlers by the rest.
fn event(body: &[u8], raw: &RawValue) -> Result<ParsedEvent, Unparsable> {
    let head: Head = serde_json::from_str(raw.get())
        .map_err(|error| Unparsable::new(format!("an event can't be read: {error}")))?;
    // Its data is where it stands in the body: nothing is copied, and nothing is lost.
    let start = raw.get().as_ptr().addr() - body.as_ptr().addr();
    Ok(ParsedEvent {
        kind: head.r#type.to_lowercase(),
        subject: head.parcel.map(|number| format!("parcel/{number}")),
        occurred_at: head.at.as_deref().and_then(Timestamp::parse_rfc3339),
        data: Slices::parts(std::iter::once(start..start + raw.get().len())),
    })
}

async fn moved(Event(event): Event<serde_json::Value>, job: Job) -> Result<(), HandlerError> {
    println!("{} {}: {event}", job.kind, job.subject.unwrap_or_default());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let receiver = Receiver::builder()
        // Made up; the real one belongs into the environment.
        .source("parcels", provider("a-made-up-secret"))
        .on("parcels", "parcel.*", moved)
        .listen(listen.parse()?)
        .build()
        .await?;
    let receiver = receiver.bind().await?;
    println!("POST http://{}/in/parcels", receiver.local_addr()?);
    receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await;
    Ok(())
}

fn provider(secrets: impl Into<Secrets>) -> Parcels {
    Parcels { secrets: secrets.into() }
}
