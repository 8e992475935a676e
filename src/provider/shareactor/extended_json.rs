//! What `MongoDB` makes of ids and times in JSON.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::{
    clock::Timestamp,
    provider::json::{find, raw, scalar},
};

/// A time as the sender writes it: for members of your own types, such as an order's `created`.
///
/// Reads `{"$date": …}` with milliseconds since 1970 (also as `{"$numberLong": "…"}`) or RFC 3339, or either of them
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub Timestamp);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = raw(deserializer)?;
        date(&raw).map(Self).ok_or_else(|| de::Error::custom(format!("{} is no date", raw.get())))
    }
}

/// An id as the sender writes it: for members of your own types.
///
/// Reads `{"$oid": "…"}`, the id alone, or the `_id` of an object that stands where its id could.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub String);

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = raw(deserializer)?;
        match reference(&raw) {
            Some(id) => Ok(Self(id.into_owned())),
            None => Err(de::Error::custom(format!("{} is no id", raw.get()))),
        }
    }
}

/// Reads `{"$oid": "…"}`, or the id alone.
pub(super) fn oid(raw: &RawValue) -> Option<Cow<'_, str>> {
    scalar(member(raw, "$oid").unwrap_or(raw)).filter(|id| !id.is_empty())
}

/// The same, also of an object that stands where its id could.
pub(super) fn reference(raw: &RawValue) -> Option<Cow<'_, str>> {
    oid(raw).or_else(|| oid(member(raw, "_id")?))
}

/// Reads `{"$date": …}`: milliseconds (also as `{"$numberLong": "…"}`) or RFC 3339; or either of them alone.
pub(super) fn date(raw: &RawValue) -> Option<Timestamp> {
    let raw = member(raw, "$date").unwrap_or(raw);
    let raw = member(raw, "$numberLong").unwrap_or(raw);
    let text = scalar(raw)?;
    text.parse().ok().map(Timestamp::from_millis).or_else(|| Timestamp::parse_rfc3339(&text))
}

fn member<'a>(raw: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    find(raw.get(), &[name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_all_their_forms() {
        let at = Date(Timestamp::from_millis(1_767_168_000_123));
        for json in [
            r#"{"$date": 1767168000123}"#,
            r#"{"$date":{"$numberLong":"1767168000123"}}"#,
            r#"{"$date":"2025-12-31T08:00:00.123Z"}"#,
            r#"{"$date":"2025-12-31T11:00:00.123+03:00"}"#,
            r#"{"$date":"2025-12-31T08:00:00.123+0000"}"#,
            "1767168000123",
            r#""1767168000123""#,
            r#""2025-12-31T08:00:00.123Z""#,
        ] {
            assert_eq!(serde_json::from_str::<Date>(json).unwrap(), at, "{json}");
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::from_value::<Date>(value).unwrap(), at, "{json}");
        }
        let before = serde_json::from_str::<Date>(r#"{"$date":{"$numberLong":"-86400000"}}"#).unwrap();
        assert_eq!(before.0.to_string(), "1969-12-31T00:00:00.000Z");
        for json in ["null", "true", r#"{"$date":null}"#, r#"{"$date":"soon"}"#, "[1]", "{}"] {
            let error = serde_json::from_str::<Date>(json).unwrap_err();
            assert!(error.to_string().contains("is no date"), "{json}: {error}");
        }
    }

    #[test]
    fn ids_in_all_their_forms() {
        for json in [
            r#"{"$oid":"65a1f00d0b1e2c3d4e5f6071"}"#,
            r#""65a1f00d0b1e2c3d4e5f6071""#,
            r#"{"_cls":"User","_id":{"$oid":"65a1f00d0b1e2c3d4e5f6071"}}"#,
            r#"{"_id":"65a1f00d0b1e2c3d4e5f6071"}"#,
        ] {
            let id: ObjectId = serde_json::from_str(json).unwrap();
            assert_eq!(id.0, "65a1f00d0b1e2c3d4e5f6071", "{json}");
        }
        for json in ["null", r#""""#, "{}", r#"{"_id":{}}"#, r#"["x"]"#] {
            let error = serde_json::from_str::<ObjectId>(json).unwrap_err();
            assert!(error.to_string().contains("is no id"), "{json}: {error}");
        }
    }
}
