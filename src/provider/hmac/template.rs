use std::{fmt, str::FromStr};

use crate::provider::SettingError;

/// What is signed, as a text with `{id}`, `{timestamp}` and `{body}` in it: `{timestamp}.{body}`.
///
/// ```
/// use doorbell::provider::hmac::Template;
///
/// let signed: Template = "v0:{timestamp}:{body}".parse()?;
/// assert!(signed.has_timestamp() && signed.has_body() && !signed.has_id());
/// # Ok::<(), doorbell::provider::SettingError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Id,
    Timestamp,
    Body,
}

/// What stands for the names in a template.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) id: &'a str,
    pub(super) timestamp: &'a str,
    pub(super) body: &'a [u8],
}

impl Template {
    /// The body alone.
    pub fn body() -> Self {
        Self(vec![Piece::Body])
    }

    /// `{timestamp}` and `{body}`, after one text and with another one between them.
    pub(super) fn timestamp_and_body(before: &str, between: &str) -> Self {
        let text = |text: &str| Piece::Text(text.to_owned());
        Self(vec![text(before), Piece::Timestamp, text(between), Piece::Body])
    }

    /// `{id}.{timestamp}.{body}`
    pub(super) fn id_timestamp_and_body() -> Self {
        let dot = || Piece::Text(".".to_owned());
        Self(vec![Piece::Id, dot(), Piece::Timestamp, dot(), Piece::Body])
    }

    /// Whether the id is signed.
    pub fn has_id(&self) -> bool {
        self.0.contains(&Piece::Id)
    }

    /// Whether the timestamp is signed.
    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Piece::Timestamp)
    }

    /// Whether the body is signed.
    pub fn has_body(&self) -> bool {
        self.0.contains(&Piece::Body)
    }

    pub(super) fn fill<'a>(&'a self, values: Values<'a>) -> Vec<&'a [u8]> {
        let fill = |piece: &'a Piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Id => values.id.as_bytes(),
            Piece::Timestamp => values.timestamp.as_bytes(),
            Piece::Body => values.body,
        };
        self.0.iter().map(fill).collect()
    }
}

impl FromStr for Template {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |expected: &str| SettingError::new(text, "a template of what is signed", expected);
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or_else(|| error("a `}` for each `{`"))?;
            pieces.push(match name {
                "id" => Piece::Id,
                "timestamp" => Piece::Timestamp,
                "body" => Piece::Body,
                _ => return Err(error("{id}, {timestamp} or {body} in braces")),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| {
            f.write_str(match piece {
                Piece::Text(text) => text,
                Piece::Id => "{id}",
                Piece::Timestamp => "{timestamp}",
                Piece::Body => "{body}",
            })
        })
    }
}
