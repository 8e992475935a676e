use std::{borrow::Cow, fmt, str::FromStr};

use http::HeaderName;

use crate::provider::{Request, SettingError, json};

/// Where in a request something stands: `header:X-Event-Id` or `json:/data/id`.
///
/// ```
/// use doorbell::provider::hmac::Field;
///
/// let id: Field = "json:/data/id".parse()?;
/// assert!(matches!(id, Field::Json(_)) && id.to_string() == "json:/data/id");
/// let error = "data.id".parse::<Field>().unwrap_err().to_string();
/// assert!(error.contains("`header:<name>` or `json:<pointer>` expected"));
/// # Ok::<(), doorbell::provider::SettingError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// In a header.
    Header(HeaderName),
    /// In the body, read as JSON. Strings and numbers are taken, as they stand.
    Json(Pointer),
}

impl Field {
    /// What stands there, if it is there and not empty. `json` is the body, where it is JSON.
    pub(super) fn read<'a>(&self, request: &Request<'a>, json: Option<&'a str>) -> Option<Cow<'a, str>> {
        let text = match self {
            Self::Header(name) => request.header(name.as_str()).map(Cow::Borrowed),
            Self::Json(pointer) => json::find(json?, &pointer.0).and_then(json::scalar),
        };
        text.filter(|text| !text.is_empty())
    }
}

impl FromStr for Field {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |expected: &str| SettingError::new(text, "a place in a request", expected);
        if let Some(name) = text.strip_prefix("header:") {
            name.parse().map(Self::Header).map_err(|_| error("a header's name after `header:`"))
        } else if let Some(pointer) = text.strip_prefix("json:") {
            pointer.parse().map(Self::Json)
        } else {
            Err(error("`header:<name>` or `json:<pointer>`"))
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

/// A place in a JSON document, by RFC 6901: `/data/0/id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl FromStr for Pointer {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(SettingError::new(text, "a JSON pointer", "`/` and member names, as in `/data/id`,"));
        };
        Ok(Self(path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

impl<'s> FromIterator<&'s str> for Pointer {
    /// The place that these member names and array positions lead to.
    fn from_iter<I: IntoIterator<Item = &'s str>>(steps: I) -> Self {
        Self(steps.into_iter().map(str::to_owned).collect())
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

/// Where the signed time stands, in whole seconds since 1970: `header:X-Timestamp`, or `signature:t` for an item
/// `t=…` in the signature's own header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimestampSource {
    /// In a header of its own.
    Header(HeaderName),
    /// In an item of that name in the signature's header.
    Signature(String),
}

impl FromStr for TimestampSource {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |expected: &str| SettingError::new(text, "a place for a timestamp", expected);
        if let Some(name) = text.strip_prefix("header:") {
            name.parse().map(Self::Header).map_err(|_| error("a header's name after `header:`"))
        } else {
            match text.strip_prefix("signature:") {
                Some(name) if !name.is_empty() => Ok(Self::Signature(name.to_owned())),
                _ => Err(error("`header:<name>` or `signature:<item>`")),
            }
        }
    }
}

impl fmt::Display for TimestampSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Signature(item) => write!(f, "signature:{item}"),
        }
    }
}
