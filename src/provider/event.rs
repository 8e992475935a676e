//! From an event's bytes to a type of the user's or the vendor's.

use std::{borrow::Cow, fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use super::json;

/// A type that an event's data can be read as.
///
/// Each vendor's module has types for its own events; [`serde_json::Value`] and [`Bytes`] take any event. For a type
/// of your own, implement it by way of [`serde_json::from_slice`].
#[diagnostic::on_unimplemented(
    message = "an event can't be read as `{Self}`",
    note = "take a vendor's own type, `serde_json::Value` or `Bytes`, or implement `FromEvent` for yours"
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
/// Reads and writes JSON only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(String);

impl Decimal {
    /// The digits as the sender wrote them: what decimal libraries parse.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest binary floating-point number: for a quick look, not for sums.
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Decimal {
    type Err = EventError;

    /// Reads what JSON takes for a number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = serde_json::from_str::<serde_json::Number>(text);
        match number {
            Ok(_) if text == text.trim() => Ok(Self(text.to_owned())),
            _ => Err(EventError::new("", "a decimal number", format!("{text:?}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = json::scalar(&raw).unwrap_or_default();
        text.parse().map_err(|_| de::Error::custom(format!("{} is not a decimal number", raw.get())))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

/// For ids that come as a number here and as a string there.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    json::scalar(raw)
        .map(Cow::into_owned)
        .ok_or_else(|| de::Error::custom(format!("{} is neither a string nor a number", raw.get())))
}

/// The same where it may be missing, or of another type.
pub(crate) fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(json::scalar(<&RawValue>::deserialize(deserializer)?).map(Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_digits() {
        for text in ["0", "-1", "23.50", "1e3", "9007199254740993", "0.1000000000000000055511151231257827"] {
            let decimal: Decimal = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&decimal).unwrap(), text);
            assert_eq!(serde_json::from_str::<Decimal>(&format!("\"{text}\"")).unwrap(), decimal);
        }
        for wrong in ["\"\"", "\"1,5\"", "true", "null", "\" 1\"", "\"NaN\"", "[1]"] {
            assert!(serde_json::from_str::<Decimal>(wrong).is_err(), "{wrong}");
        }
    }
}
