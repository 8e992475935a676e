//! The vendors' notifications as types: all that is documented has its member, and nothing else is lost.

use doorbell::{
    clock::Timestamp,
    provider::{
        self, Decimal, EventError, FromEvent, Kladana, Poster, Provider, Quable, Shareactor, Verdict,
    },
};
use http::HeaderMap;
use serde_json::json;

use super::{now, proved, sample};

#[path = "typed/kladana.rs"]
mod kladana;
#[path = "typed/poster.rs"]
mod poster;
#[path = "typed/quable.rs"]
mod quable;
#[path = "typed/shareactor.rs"]
mod shareactor;

/// Reads a sample, an event of this kind.
#[track_caller]
fn read<E: FromEvent>(kind: &str, name: &str) -> E {
    E::from_event(kind, &sample(name)).unwrap()
}

/// Whether an event can be made of each word that the vendor documents, and of no other.
#[track_caller]
fn assert_kinds(provider: &dyn Provider, of_words: impl IntoIterator<Item = String>) {
    let mut of_words: Vec<_> = of_words.into_iter().collect();
    let mut known = provider.known_kinds().to_vec();
    of_words.sort_unstable();
    known.sort_unstable();
    assert_eq!(of_words, known);
}

#[test]
fn every_notification_among_the_samples_has_its_type() {
    let mut read = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".json").unwrap();
        let (provider, typed): (Box<dyn Provider>, Typed) = match name.split('_').next() {
            Some("kladana") => (Box::new(Kladana::new()), typed::<provider::kladana::Event>),
            Some("quable") => (Box::new(Quable::path_secret_only()), typed::<provider::quable::Event>),
            Some("poster") => (Box::new(Poster::new(super::POSTER_SECRET)), typed::<provider::poster::Event>),
            Some("shareactor") => (Box::new(Shareactor::new("secret")), typed::<provider::shareactor::Event>),
            _ => continue,
        };
        let body = bytes::Bytes::from(sample(name));
        let Ok(Verdict::Accept { events, .. }) = provider.verify(&proved(&HeaderMap::new(), &body), now())
        else {
            continue;
        };
        for event in events {
            typed(&event.kind, &event.data.of(&body)).unwrap_or_else(|error| panic!("{name}: {error}"));
            read += 1;
        }
    }
    assert_eq!(read, 10 + 4 + 4 + 1);
}

type Typed = fn(&str, &[u8]) -> Result<(), EventError>;

fn typed<E: FromEvent>(kind: &str, data: &[u8]) -> Result<(), EventError> {
    E::from_event(kind, data).map(drop)
}

#[test]
fn any_event_as_json() {
    let value = serde_json::Value::from_event("x", br#"{"a":1}"#).unwrap();
    assert_eq!(value["a"], 1);
    let error = serde_json::Value::from_event("order.created", b"a=1").unwrap_err();
    assert!(error.to_string().contains("order.created"), "{error}");
}

#[test]
fn types_of_ones_own_may_use_the_values() {
    #[derive(serde::Deserialize, serde::Serialize, PartialEq, Debug)]
    struct Mine {
        action: provider::poster::Action,
        code: provider::quable::Code,
        sum: Decimal,
        at: Timestamp,
    }
    let text = r#"{"action":"melted","code":"document.update","sum":0.10,"at":"2026-01-23T09:48:17.000Z"}"#;
    let mine: Mine = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&mine).unwrap(), text);
    let value = serde_json::to_value(&mine).unwrap();
    assert_eq!(value["code"], json!("document.update"));
    assert_eq!(serde_json::from_value::<Mine>(value).unwrap().code, mine.code);
}
