//! The fields of a notification, as the signature takes them: from JSON or from a form.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::provider::json;

/// A notification's fields as texts; numbers as their digits stand.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) account: Cow<'a, str>,
    pub(super) object: Cow<'a, str>,
    pub(super) object_id: Cow<'a, str>,
    pub(super) action: Cow<'a, str>,
    pub(super) time: Cow<'a, str>,
    pub(super) data: Content<'a>,
    /// `None` if there is none; an empty text if it is not a string.
    pub(super) verify: Option<Cow<'a, str>>,
    /// Not signed: for display only.
    pub(super) account_number: Option<Cow<'a, str>>,
}

/// The `data` field.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// Not there, or null.
    Absent,
    /// A string, decoded, or a number's digits.
    Text(Cow<'a, str>),
    /// An object, an array or a boolean, as its JSON stands.
    Structured(&'a str),
}

impl Content<'_> {
    /// What enters the signature.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text),
            Self::Structured(json) => Some(json),
        }
    }
}

impl<'a> Message<'a> {
    /// The names of all.
    pub(super) const FIELDS: [&'static str; 8] =
        ["account", "object", "object_id", "action", "time", "data", "verify", "account_number"];

    /// Reads a body, as JSON whatever its content type says, or else as a form.
    ///
    /// # Errors
    /// What is missing or unreadable, in words, without the body's values.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
        if text.trim_start().starts_with('{') { Self::read_json(text) } else { Self::read_form(text) }
    }

    /// The signed fields that must not hold the separator, by name. (`data` may: it is the only one that does.)
    pub(super) fn separated(&self) -> [(&'static str, &str); 5] {
        [
            ("`account`", &self.account),
            ("`object`", &self.object),
            ("`object_id`", &self.object_id),
            ("`action`", &self.action),
            ("`time`", &self.time),
        ]
    }

    fn read_json(text: &'a str) -> Result<Self, String> {
        let fields: JsonFields<'_> =
            serde_json::from_str(text).map_err(|error| format!("as JSON: {error}"))?;
        let required = |name: &str, raw: Option<&'a RawValue>| {
            let raw = raw.ok_or_else(|| format!("`{name}` is missing"))?;
            json::scalar(raw).ok_or_else(|| format!("`{name}` is neither a string nor a number"))
        };
        Ok(Self {
            account: required("account", fields.account)?,
            object: required("object", fields.object)?,
            object_id: required("object_id", fields.object_id)?,
            action: required("action", fields.action)?,
            time: required("time", fields.time)?,
            data: match fields.data {
                None => Content::Absent,
                Some(raw) => match json::scalar(raw) {
                    Some(text) => Content::Text(text),
                    None if raw.get().starts_with('"') => return Err("`data` is not a valid string".into()),
                    None => Content::Structured(raw.get()),
                },
            },
            verify: fields.verify.map(|raw| {
                let string = if raw.get().starts_with('"') { json::scalar(raw) } else { None };
                string.unwrap_or_default()
            }),
            account_number: fields.account_number.and_then(json::scalar),
        })
    }

    /// The dashboard's test comes as a form, its fields once seen as `data[account]` and so on.
    fn read_form(text: &'a str) -> Result<Self, String> {
        let mut nested = FormFields::default();
        let mut flat = FormFields::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let inner = name.strip_prefix("data[").and_then(|rest| rest.strip_suffix(']'));
            let (fields, name) = match inner {
                Some(inner) => (&mut nested, inner),
                None => (&mut flat, name.as_ref()),
            };
            if let Some(slot) = fields.slot(name)
                && slot.replace(value).is_some()
            {
                return Err(format!("`{name}` stands in the form twice"));
            }
        }
        let fields = if nested.account.is_some() { nested } else { flat };
        if fields.account.is_none() {
            return Err("it is neither a JSON object nor a form with the field `account`".into());
        }
        let required =
            |name: &str, value: Option<Cow<'a, str>>| value.ok_or_else(|| format!("`{name}` is missing"));
        Ok(Self {
            account: required("account", fields.account)?,
            object: required("object", fields.object)?,
            object_id: required("object_id", fields.object_id)?,
            action: required("action", fields.action)?,
            time: required("time", fields.time)?,
            data: fields.data.map_or(Content::Absent, Content::Text),
            verify: fields.verify,
            account_number: fields.account_number,
        })
    }
}

/// An absent member and null are the same, as in the sender's PHP. Members that are not known are skipped; known
/// ones that stand twice are an error, because receivers differ in which of the two they take.
#[derive(Deserialize)]
struct JsonFields<'a> {
    #[serde(borrow)]
    account: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    object_id: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    verify: Option<&'a RawValue>,
    #[serde(borrow)]
    account_number: Option<&'a RawValue>,
}

#[derive(Default)]
struct FormFields<'a> {
    account: Option<Cow<'a, str>>,
    object: Option<Cow<'a, str>>,
    object_id: Option<Cow<'a, str>>,
    action: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    data: Option<Cow<'a, str>>,
    verify: Option<Cow<'a, str>>,
    account_number: Option<Cow<'a, str>>,
}

impl<'a> FormFields<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Option<Cow<'a, str>>> {
        Some(match name {
            "account" => &mut self.account,
            "object" => &mut self.object,
            "object_id" => &mut self.object_id,
            "action" => &mut self.action,
            "time" => &mut self.time,
            "data" => &mut self.data,
            "verify" => &mut self.verify,
            "account_number" => &mut self.account_number,
            _ => return None,
        })
    }
}
