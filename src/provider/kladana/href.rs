use std::borrow::Cow;

/// What entity is meant. Read from a notification, and **never called**: a URL for the API is made from your own
/// configuration, the type and the id. A notification could name any host, and the call would carry your token there.
///
/// ```
/// use doorbell::provider::kladana::EntityRef;
///
/// let order = EntityRef::new("customerorder", "4081aa10-f82b-11f0-0a80-047200060001");
/// assert_eq!(order.entity_type.as_deref(), Some("customerorder"));
/// assert_eq!(order.href, None);
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
}
