//! Poster's requests as Poster makes them.

use std::fmt;

use http::{HeaderValue, header::CONTENT_TYPE};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};

use super::{Message, digest};
use crate::provider::{Secret, SignError, SignedRequest};

/// A notification with its signature put into it, in place of one that may be there.
pub(super) fn sign(body: &[u8], secret: &Secret) -> Result<SignedRequest, SignError> {
    let message = Message::read(body).map_err(SignError::Body)?;
    let verify = hex::encode(digest(&message, message.data.text(), secret));
    let mut request = SignedRequest::new(with_verify(body, &verify).map_err(SignError::Body)?);
    let is_json = body.trim_ascii_start().first() == Some(&b'{');
    let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(request)
}

/// The body with this as its `verify`, in place of one that may be there; all else as it stands.
fn with_verify(body: &[u8], verify: &str) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    if text.trim_start().starts_with('{') {
        let Members(members) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut members: Vec<String> = members
            .into_iter()
            .filter(|(name, _)| name != "verify")
            .map(|(name, value)| format!("{}:{}", json!(name), value.get()))
            .collect();
        members.push(format!(r#""verify":"{verify}""#));
        return Ok(format!("{{{}}}", members.join(",")).into_bytes());
    }
    let pairs: Vec<_> = form_urlencoded::parse(body).collect();
    let nested = pairs.iter().any(|(name, _)| name == "data[account]");
    let name = if nested { "data[verify]" } else { "verify" };
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs.iter().filter(|(existing, _)| existing != name)).append_pair(name, verify);
    Ok(form.finish().into_bytes())
}

/// An object's members in their order, values as they stand.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
