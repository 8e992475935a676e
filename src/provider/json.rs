//! Reading only what is needed from JSON, without copying, and forgiving about what is not needed.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Value, value::RawValue};

/// Reads a type from a JSON object. An array is none: serde would take its elements for the members, in their order.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// Reads a value as its text stands. Inside of flattened, untagged and internally tagged types serde has taken the text
/// apart already: it is written anew.
pub(crate) fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<RawValue>, D::Error> {
    Box::deserialize(TakenApart(deserializer))
}

/// Gives a [`RawValue`] also where there is none to be had.
struct TakenApart<T>(T);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for TakenApart<D> {
    type Error = D::Error;

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Rewriting { name, visitor })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    // Not asked for by a `RawValue`.
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The visitor of a [`RawValue`], whose name is that of its newtype struct.
struct Rewriting<V> {
    name: &'static str,
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Rewriting<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    /// The text is there.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(map)
    }

    /// It is not.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        value.deserialize_newtype_struct(self.name, self.visitor).map_err(D::Error::custom)
    }
}

/// A string's text, or a number's digits as they stand (so that neither size nor decimals are lost). `None` for
/// everything else.
pub(crate) fn scalar(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'"' => string(text),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// The text of a JSON string, borrowed where nothing in it is escaped.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// For a field that is good to have: anything but a string or a number counts as absent.
pub(crate) fn text_or_nothing<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    Ok(scalar(<&RawValue>::deserialize(deserializer)?).filter(|text| !text.is_empty()))
}

/// For a structure that is good to have: if it is not as expected, it counts as absent.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// The value that a path of member names and array positions leads to. Of equal names the last one counts, as with
/// most parsers.
pub(crate) fn find<'a>(json: &'a str, path: &[impl AsRef<str>]) -> Option<&'a RawValue> {
    let mut raw: &RawValue = serde_json::from_str(json).ok()?;
    for step in path {
        raw = Step(step.as_ref()).deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok()??;
    }
    Some(raw)
}

/// One step into an object or an array.
struct Step<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted: Option<usize> = self.0.parse().ok();
        let mut found = None;
        let mut at = 0;
        loop {
            if Some(at) == wanted {
                match seq.next_element()? {
                    Some(value) => found = Some(value),
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_and_keeps_literals() {
        let json =
            r#"{"a":{"b":[1, 12345678901234567890123, "x\u0041"]},"a":{"b":[0,9007199254740993.10,"y\n"]}}"#;
        let at = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|&step| step.to_owned()).collect();
            find(json, &path).and_then(scalar).map(Cow::into_owned)
        };
        assert_eq!(at(&["a", "b", "1"]).as_deref(), Some("9007199254740993.10"));
        assert_eq!(at(&["a", "b", "2"]).as_deref(), Some("y\n"));
        for nowhere in [&["a", "b", "3"][..], &["a", "c"], &["a"], &["a", "b", "x"], &["a", "b", "0", "c"]] {
            assert_eq!(at(nowhere), None, "{nowhere:?}");
        }
    }
}
