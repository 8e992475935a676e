use jiff::{civil, tz};
use serde::{Deserialize, Deserializer, de};

use crate::{
    clock::Timestamp,
    provider::json::{raw, scalar},
};

/// A time as the sender and its API write it, `2026-01-23 10:44:23.000`: for members of your own types, such as an entity's
/// `updated`.
///
/// It is Moscow time, which has been UTC+3 since 2014. A time with an offset of its own is taken by it.
///
/// ```
/// use doorbell::provider::kladana::Moment;
///
/// #[derive(serde::Deserialize)]
/// struct Product {
///     updated: Moment,
/// }
///
/// let product: Product = serde_json::from_str(r#"{"name":"tea","updated":"2026-01-23 10:44:23.000"}"#)?;
/// assert_eq!(product.updated.0.to_string(), "2026-01-23T07:44:23.000Z");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = raw(deserializer)?;
        let read = scalar(&raw).and_then(|text| moment(&text));
        read.map(Self).ok_or_else(|| {
            de::Error::custom(format!("{} is no time; expected one like \"2026-01-23 10:44:23\"", raw.get()))
        })
    }
}

/// Reads `2026-01-23 10:44:23`, with or without a fraction: Moscow time, which has been UTC+3 since 2014. A time with
/// an offset of its own is taken by it.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| {
        let local: civil::DateTime = text.parse().ok()?;
        let utc = tz::Offset::constant(3).to_timestamp(local).ok()?;
        Some(Timestamp::from_millis(utc.as_millisecond()))
    })
}

/// The other way round: `2026-01-23 10:44:23`, as the API's filters and parameters take it. `None` beyond the years that
/// can be written.
pub(crate) fn moscow_time(at: Timestamp) -> Option<String> {
    let utc = jiff::Timestamp::from_second(at.as_seconds()).ok()?;
    Some(tz::Offset::constant(3).to_datetime(utc).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moscows_unless_they_say_otherwise() {
        for json in [r#""2026-01-23 10:44:23""#, r#""2026-01-23 10:44:23.000""#, r#""2026-01-23T07:44:23Z""#]
        {
            let at: Moment = serde_json::from_str(json).unwrap();
            assert_eq!(at.0.to_string(), "2026-01-23T07:44:23.000Z", "{json}");
        }
        for json in ["null", "7", r#""soon""#, r#""2026-13-01 00:00:00""#, "{}"] {
            let error = serde_json::from_str::<Moment>(json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{json} is no time; expected one like")), "{error}");
        }
    }
}
