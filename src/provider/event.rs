//! From an event's bytes to a type of the user's or the vendor's.

use std::{borrow::Cow, fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned, ser};
use serde_json::value::RawValue;

use super::json;

/// A type that an event's data can be read as.
///
/// Each vendor's module has types for its own events; [`serde_json::Value`] and [`Bytes`] take any event. For a type
/// of your own, implement it by way of [`serde_json::from_slice`].
///
/// These types are for reading. To keep an event, keep its bytes: they are what the sender wrote, to the last digit.
///
/// ```
/// use doorbell::provider::{EventError, FromEvent};
/// use serde::Deserialize;
///
/// #[derive(Debug, Deserialize)]
/// struct Push {
///     r#ref: String,
/// }
///
/// impl FromEvent for Push {
///     fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
///         serde_json::from_slice(data).map_err(|error| EventError::new(kind, "a push", error))
///     }
/// }
///
/// assert_eq!(Push::from_event("push", br#"{"ref":"refs/heads/main","forced":false}"#)?.r#ref, "refs/heads/main");
/// let error = Push::from_event("push", b"{}").unwrap_err();
/// assert!(error.to_string().starts_with("the data of this `push` event can't be read as a push: missing field `ref`"));
/// # Ok::<(), EventError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "an event can't be read as `{Self}`",
    label = "not a type that an event is read as",
    note = "take a vendor's own type, `serde_json::Value` or `Bytes`, or implement `FromEvent` for yours; in a handler, \
            `Json<{Self}>` takes whatever implements `Deserialize`"
)]
pub trait FromEvent: Sized {
    /// Reads the data of an event of this kind.
    ///
    /// # Errors
    /// What in the data is not as the type needs it. Kinds, members and values that are merely unknown are none.
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError>;
}

impl FromEvent for serde_json::Value {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        serde_json::from_slice(data).map_err(|error| EventError::new(kind, "JSON", error))
    }
}

impl FromEvent for Bytes {
    fn from_event(_kind: &str, data: &[u8]) -> Result<Self, EventError> {
        Ok(Self::copy_from_slice(data))
    }
}

/// Why an event's data can't be read as a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the data of this `{kind}` event can't be read as {expected}: {reason}")]
#[non_exhaustive]
pub struct EventError {
    /// The event's kind.
    pub kind: String,
    /// What it should have been.
    pub expected: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl EventError {
    /// The data of an event of this kind is not `expected`, because of `reason`.
    pub fn new(kind: &str, expected: &'static str, reason: impl fmt::Display) -> Self {
        Self { kind: kind.to_owned(), expected, reason: reason.to_string() }
    }
}

/// What happened, by the code that a sender gives it: an entity and an action, `document.update`.
///
/// The vendors' own enums stand for both: [`quable::Code`](super::quable::Code),
/// [`shareactor::Kind`](super::shareactor::Kind).
///
/// ```
/// use doorbell::provider::quable::{Action, Code, Entity};
///
/// let code: Code = "document.update".into();
/// assert_eq!((&code.entity, &code.action), (&Entity::Document, &Action::Update));
/// assert!(code == "document.update" && code.to_string() == "document.update");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind<Entity, Action> {
    /// What it happened to: what stands before the first dot.
    pub entity: Entity,
    /// What happened: what stands after it. Empty if there is no dot.
    pub action: Action,
}

impl<E: for<'a> From<&'a str>, A: for<'a> From<&'a str>> From<&str> for Kind<E, A> {
    fn from(code: &str) -> Self {
        let (entity, action) = parts(code);
        Self { entity: entity.into(), action: action.into() }
    }
}

impl<E: for<'a> From<&'a str>, A: for<'a> From<&'a str>> From<String> for Kind<E, A> {
    fn from(code: String) -> Self {
        code.as_str().into()
    }
}

impl<E: AsRef<str>, A: AsRef<str>> PartialEq<&str> for Kind<E, A> {
    fn eq(&self, code: &&str) -> bool {
        (self.entity.as_ref(), self.action.as_ref()) == parts(code)
    }
}

fn parts(code: &str) -> (&str, &str) {
    code.split_once('.').unwrap_or((code, ""))
}

/// The sender's own code.
impl<E: AsRef<str>, A: AsRef<str>> fmt::Display for Kind<E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.entity.as_ref(), self.action.as_ref()) {
            (entity, "") => f.write_str(entity),
            (entity, action) => write!(f, "{entity}.{action}"),
        }
    }
}

impl<'de, E: for<'a> From<&'a str>, A: for<'a> From<&'a str>> Deserialize<'de> for Kind<E, A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        id(deserializer).map(Self::from)
    }
}

impl<E: AsRef<str>, A: AsRef<str>> Serialize for Kind<E, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A decimal number exactly as the sender wrote it, in a number or in a string: money and stock levels lose nothing
/// on the way.
///
/// ```
/// use doorbell::provider::Decimal;
///
/// let level: Decimal = serde_json::from_str("23.10")?;
/// assert_eq!(level.as_str(), "23.10");
/// assert_eq!(level.to_f64(), 23.1);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Two are equal if they are written alike: `1.0` is not `1`. Writes JSON only.
///
/// As a member of a flattened, untagged or internally tagged type of yours, and in a [`serde_json::Value`], a number with
/// a fraction or of more than 64 bits has gone through an `f64`: 15 digits are exact, and zeros at the end are lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(String);

impl Decimal {
    /// The number as the sender wrote it, by JSON's rules: digits, perhaps with a sign, a fraction, an exponent. It is
    /// what decimal libraries parse.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest binary floating-point number, infinite if it is too large for one: for a quick look, not for sums.
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Decimal {
    type Err = EventError;

    /// Reads what JSON takes for a number, of any size.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Not as a `Number`: that is an integer of 64 bits or a float, and has bounds.
        let raw: Option<&RawValue> = serde_json::from_str(text).ok();
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        match raw {
            Some(raw) if is_number && raw.get() == text => Ok(Self(text.to_owned())),
            _ => Err(EventError::new("", "a decimal number", format!("{text:?}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = json::raw(deserializer)?;
        let text = json::scalar(&raw).unwrap_or_default();
        text.parse().map_err(|_| de::Error::custom(format!("{} is not a decimal number", raw.get())))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

// How the members of events are read. By way of raw JSON, because numbers are read as their digits stand; owned, so
// that events can also be read from a `Value`.

/// For ids that come as a number here and as a string there.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = json::raw(deserializer)?;
    json::scalar(&raw)
        .map(Cow::into_owned)
        .ok_or_else(|| de::Error::custom(format!("{} is neither a string nor a number", raw.get())))
}

/// For an id, a word, a text that may be missing: anything but a string or a number counts as such.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: From<String>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = json::raw(deserializer)?;
    Ok(json::scalar(&raw).map(|text| text.into_owned().into()))
}

/// For a structure that is good to have: if it is not as expected, it counts as absent.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = json::raw(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// For a list that is good to have: what in it is not as expected is left out; anything but a list counts as empty.
pub(crate) fn each<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let raw = json::raw(deserializer)?;
    let entries: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{
        poster::Action,
        quable::Code,
        shareactor::{Date, ObjectId},
    };

    /// A type of the user's that serde takes apart before its members are read.
    #[test]
    fn values_can_be_read_in_flattened_untagged_and_tagged_types() {
        #[derive(Deserialize, PartialEq, Debug)]
        struct Inner {
            sum: Decimal,
            count: Decimal,
            text: Decimal,
            action: Action,
            number: Action,
            code: Code,
            at: Date,
            id: ObjectId,
        }
        #[derive(Deserialize)]
        struct Flattened {
            #[serde(flatten)]
            inner: Inner,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Untagged {
            Inner(Inner),
        }
        #[derive(Deserialize)]
        #[serde(tag = "type")]
        enum Tagged {
            Inner(Inner),
        }
        let text = r#"{"type":"Inner","sum":349.12,"count":18446744073709551615,"text":"0.10000000000000000001",
            "action":"closed","number":7,"code":"document.update","at":{"$date":1767168000123},"id":{"$oid":"65a1"}}"#;
        let inner: Inner = serde_json::from_str(text).unwrap();
        assert_eq!((inner.sum.as_str(), inner.count.as_str()), ("349.12", "18446744073709551615"));
        assert_eq!((inner.text.as_str(), inner.number.as_str()), ("0.10000000000000000001", "7"));
        assert_eq!(serde_json::from_str::<Flattened>(text).unwrap().inner, inner);
        let Untagged::Inner(untagged) = serde_json::from_str(text).unwrap();
        assert_eq!(untagged, inner);
        let Tagged::Inner(tagged) = serde_json::from_str(text).unwrap();
        assert_eq!(tagged, inner);
        assert_eq!(
            serde_json::from_value::<Flattened>(serde_json::from_str(text).unwrap()).unwrap().inner,
            inner
        );

        let error = serde_json::from_str::<Flattened>(&text.replace("349.12", "[1]")).err().unwrap();
        assert!(error.to_string().contains("[1] is not a decimal number"), "{error}");
    }

    #[test]
    fn decimals_keep_their_digits() {
        for text in [
            "0",
            "-1",
            "0.1",
            "23.50",
            "1e3",
            "-1.5E-7",
            "1e400",
            "9007199254740993",
            "123456789012345678901234567890.12",
            "0.1000000000000000055511151231257827",
        ] {
            let decimal: Decimal = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&decimal).unwrap(), text);
            assert_eq!(serde_json::from_str::<Decimal>(&format!("\"{text}\"")).unwrap(), decimal);
        }
        for wrong in [
            "\"\"", "\"1,5\"", "true", "null", "\" 1\"", "\"1 \"", "\"NaN\"", "[1]", "\"0x1\"", "\"01\"",
            "\"-\"", "\"[1]\"",
        ] {
            assert!(serde_json::from_str::<Decimal>(wrong).is_err(), "{wrong}");
        }
        let infinite: Decimal = "1e400".parse().unwrap();
        assert!(infinite.to_f64().is_infinite());
    }

    #[test]
    fn kinds_keep_what_they_were_read_from() {
        for code in ["document.update", "a.b.c", "alone", "", ".x"] {
            let kind: Kind<String, String> = code.into();
            assert_eq!(kind.to_string(), code);
        }
    }
}
