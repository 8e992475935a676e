//! One value of the document, read as what it should be.

use std::{ops::RangeInclusive, str::FromStr, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{
    expand::expand,
    reader::{Context, Table},
    value,
};
use crate::provider::SettingError;

/// One value of the document. Its readers note what is wrong and then return `None`.
#[derive(Clone)]
pub(super) struct Value<'c, 'i> {
    pub(super) context: &'c Context<'c>,
    pub(super) subject: String,
    pub(super) offset: usize,
    pub(super) node: &'c Spanned<DeValue<'i>>,
}

/// A string with its variables put in.
pub(super) struct Text {
    pub(super) value: String,
    /// How messages show it: as the file has it, so that no variable's value gets out.
    pub(super) shown: String,
}

impl<'c, 'i> Value<'c, 'i> {
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.context.problem(self.line(), &self.subject, message);
    }

    pub(super) fn line(&self) -> usize {
        self.context.line(self.offset)
    }

    /// A string.
    pub(super) fn text(&self, expected: &str) -> Option<Text> {
        let DeValue::String(written) = self.node.get_ref() else {
            self.problem(format!("is {}; expected {expected}", self.kind()));
            return None;
        };
        match expand(written, self.context.env) {
            Ok(value) => {
                let shown = if value == **written {
                    format!("{value:?}")
                } else {
                    format!("{written:?} (with the environment's value)")
                };
                Some(Text { value, shown })
            }
            Err(error) => {
                self.problem(error);
                None
            }
        }
    }

    /// A string that `parse` makes something of.
    pub(super) fn parsed<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(expected)?;
        let parsed = parse(&text.value);
        if parsed.is_none() {
            self.problem(format!("{} is not understood; expected {expected}", text.shown));
        }
        parsed
    }

    /// A string, or several in a list; each with its own place.
    pub(super) fn items(&self) -> Vec<Self> {
        match self.node.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|value| Self { offset: value.span().start, node: value, ..self.clone() })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    /// A string or a list of strings, at least one.
    pub(super) fn texts(&self, expected: &str) -> Vec<Text> {
        let items = self.items();
        if items.is_empty() {
            self.problem(format!("is an empty list; expected {expected}"));
        }
        items.iter().filter_map(|item| item.text(expected)).collect()
    }

    /// A time; `zero` says what "0" means here, if it may stand.
    pub(super) fn duration(&self, zero: Zero) -> Option<Duration> {
        let expected = match zero {
            Zero::Refused => format!("{}, more than 0", value::DURATION),
            Zero::Means(meaning) => format!("{}, or \"0\", which means {meaning}", value::DURATION),
        };
        let duration = match self.node.get_ref() {
            DeValue::Integer(number) if number.as_str() == "0" => Some(Duration::ZERO),
            DeValue::Integer(number) => {
                self.problem(format!("{number} has no unit; expected {expected}"));
                return None;
            }
            _ => Some(self.parsed(&expected, value::duration)?),
        }?;
        if duration.is_zero() && matches!(zero, Zero::Refused) {
            self.problem(format!("is 0; expected {expected}"));
            return None;
        }
        Some(duration)
    }

    /// A number of bytes within these bounds.
    pub(super) fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let size = match self.node.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => Some(self.parsed(value::SIZE, value::size)?),
        };
        let fits = size.filter(|size| bounds.contains(size));
        if fits.is_none() {
            let (least, most) = (value::show_size(*bounds.start()), value::show_size(*bounds.end()));
            self.problem(format!("{} is out of bounds; expected {least} to {most}", self.shown()));
        }
        fits
    }

    /// A whole number within these bounds.
    pub(super) fn count(&self, bounds: RangeInclusive<u32>) -> Option<u32> {
        let count = match self.node.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let fits = count.filter(|count| bounds.contains(count));
        if fits.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            self.problem(format!(
                "{} does not fit; expected a whole number from {least} to {most}",
                self.shown()
            ));
        }
        fits
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        let flag = self.node.get_ref().as_bool();
        if flag.is_none() {
            self.problem(format!("is {}; expected true or false, without quotes", self.kind()));
        }
        flag
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = words.join(" or ");
        self.parsed(&expected, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|&(_, choice)| choice)
        })
    }

    /// A string with a syntax of its own.
    pub(super) fn setting<T: FromStr<Err = SettingError>>(&self) -> Option<T> {
        let text = self.text("a string")?;
        text.value
            .parse()
            .map_err(|SettingError { what, expected, .. }| {
                self.problem(format!("{} is not {what}; expected {expected}", text.shown));
            })
            .ok()
    }

    /// A table inside a value: `{ … }`.
    pub(super) fn table(&self, expected: &str) -> Option<Table<'c, 'i>> {
        let DeValue::Table(table) = self.node.get_ref() else {
            self.problem(format!("is {}; expected {expected}", self.kind()));
            return None;
        };
        Some(Table::new(self.context, table, self.subject.clone(), self.offset))
    }

    /// How messages show the value, where it can be no secret.
    fn shown(&self) -> String {
        match self.node.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            DeValue::String(text) => format!("{text:?}"),
            other => kind(other).to_owned(),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        kind(self.node.get_ref())
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What "0" means as a time.
#[derive(Clone, Copy)]
pub(super) enum Zero {
    /// It makes no sense.
    Refused,
    /// This, in words.
    Means(&'static str),
}
