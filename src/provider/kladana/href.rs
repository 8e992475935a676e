use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};

use crate::provider::json::{find, raw, scalar};

/// What entity is meant. Read from a notification or an answer of the API, and **never called**: a URL for the API is made
/// from your own configuration, the type and the id. A notification could name any host, and the call would carry your token
/// there.
///
/// ```
/// use doorbell::provider::kladana::EntityRef;
///
/// let order = EntityRef::new("customerorder", "4081aa10-f82b-11f0-0a80-047200060001");
/// assert_eq!(order.entity_type.as_deref(), Some("customerorder"));
/// assert_eq!(order.href, None);
/// ```
///
/// It can stand in types of your own, for a `meta` as the API has it in its answers, or for whatever has one: an entity, or
/// a reference to one.
///
/// ```
/// use doorbell::provider::kladana::EntityRef;
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     agent: EntityRef,
/// }
///
/// let order: Order = serde_json::from_str(
///     r#"{"name":"00042","agent":{"meta":{"type":"counterparty","mediaType":"application/json",
///         "href":"https://api.kladana.com/api/remap/1.2/entity/counterparty/4081aa10-f82b-11f0-0a80-047200060001"}}}"#,
/// )?;
/// assert_eq!(order.agent.entity_type.as_deref(), Some("counterparty"));
/// assert_eq!(order.agent.id.as_deref(), Some("4081aa10-f82b-11f0-0a80-047200060001"));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// [`client::Kladana::fetch`](crate::client::Kladana::fetch) asks for the entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EntityRef {
    /// The entity's type: `product`, `customerorder`. Unknown ones are kept as they are.
    pub entity_type: Option<String>,
    /// The entity's UUID.
    pub id: Option<String>,
    /// Where the sender says that the entity is. For display only.
    pub href: Option<String>,
}

impl EntityRef {
    /// The entity of this type and with this UUID.
    pub fn new(entity_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self { entity_type: Some(entity_type.into()), id: Some(id.into()), href: None }
    }

    /// Takes type and id from a `meta`. The id is the last UUID in the path of `href`; a missing type is what stands
    /// before it.
    pub(super) fn read(entity_type: Option<Cow<'_, str>>, href: Option<Cow<'_, str>>) -> Self {
        let (found_type, id) = href.as_deref().map(last_uuid).unwrap_or_default();
        Self {
            entity_type: entity_type.map(Into::into).or(found_type.map(Into::into)),
            id: id.map(Into::into),
            href: href.map(Into::into),
        }
    }
}

impl<'de> Deserialize<'de> for EntityRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = raw(deserializer)?;
        let meta = find(raw.get(), &["meta"]).unwrap_or(&raw);
        let text = |name| find(meta.get(), &[name]).and_then(scalar).filter(|text| !text.is_empty());
        let entity = Self::read(text("type"), text("href"));
        if entity.entity_type.is_none() && entity.id.is_none() {
            let shown: String = raw.get().chars().take(64).collect();
            return Err(de::Error::custom(format!(
                "{shown} names no entity; expected a `meta` with `href` and `type`, or an object that has one"
            )));
        }
        Ok(entity)
    }
}

fn last_uuid(href: &str) -> (Option<&str>, Option<&str>) {
    let path = href.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.rsplit('/');
    let id = segments.find(|segment| is_uuid(segment));
    let before =
        segments.next().filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()));
    (id.and(before), id)
}

pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hrefs_and_nothing_into_them() {
        let id = "75c8aa10-db16-11eb-0a80-0d0000000001";
        for (href, entity_type, found) in [
            (format!("https://api.moysklad.ru/api/remap/1.2/entity/product/{id}"), Some("product"), Some(id)),
            (format!("https://evil.example/product/{id}/?x=/a/b#c"), Some("product"), Some(id)),
            (format!("/entity/demand/{id}/positions"), Some("demand"), Some(id)),
            (id.to_owned(), None, Some(id)),
            (format!("https://evil.example/?/product/{id}"), None, None),
            ("https://api.kladana.com/entity/product".to_owned(), None, None),
            (String::new(), None, None),
        ] {
            let entity = EntityRef::read(None, Some(href.as_str().into()));
            assert_eq!((entity.entity_type.as_deref(), entity.id.as_deref()), (entity_type, found), "{href}");
        }
        let named = EntityRef::read(Some("bundle".into()), None);
        assert_eq!((named.entity_type.as_deref(), named.id), (Some("bundle"), None));
    }

    #[test]
    fn what_an_answer_names_is_taken_as_a_notification_is() {
        let id = "75c8aa10-db16-11eb-0a80-0d0000000001";
        let href = format!("https://evil.example/api/remap/1.2/entity/product/{id}?expand=x");
        for json in [
            format!(r#"{{"href":"{href}","type":"product","mediaType":"application/json"}}"#),
            format!(r#"{{"meta":{{"href":"{href}","type":"product"}}}}"#),
            format!(r#"{{"meta":{{"href":"{href}"}},"id":"another","type":"another"}}"#),
        ] {
            let entity: EntityRef = serde_json::from_str(&json).unwrap();
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::from_value::<EntityRef>(value).unwrap(), entity, "{json}");
            assert_eq!((entity.entity_type.as_deref(), entity.id.as_deref()), (Some("product"), Some(id)));
            assert_eq!(entity.href.as_ref(), Some(&href));
        }
        for json in ["null", "7", r#""product""#, "[]", "{}", r#"{"meta":null}"#, r#"{"meta":{"href":"x"}}"#]
        {
            let error = serde_json::from_str::<EntityRef>(json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{json} names no entity; expected a `meta`")), "{error}");
        }
    }
}
