//! Reads a TOML document value by value: remembers where each stands, which keys were asked for, and collects what
//! is wrong instead of stopping at it.

use std::{cell::RefCell, io, ops::RangeInclusive, path::Path, str::FromStr, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::Problem,
    expand::expand,
    value::{self, near},
};
use crate::provider::{Secret, SettingError};

/// What every value is read with: the text it stands in, where its variables and files come from, and where what is
/// wrong is noted.
pub(super) struct Context<'c> {
    text: &'c str,
    env: &'c dyn Fn(&str) -> Option<String>,
    files: &'c dyn Fn(&Path) -> io::Result<String>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'c> Context<'c> {
    pub(super) fn new(
        text: &'c str,
        env: &'c dyn Fn(&str) -> Option<String>,
        files: &'c dyn Fn(&Path) -> io::Result<String>,
    ) -> Self {
        Self { text, env, files, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// The line that the byte at `offset` is in, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }

    pub(super) fn problem(&self, line: usize, subject: impl Into<String>, message: impl Into<String>) {
        let problem = Problem { line, subject: subject.into(), message: message.into() };
        self.problems.borrow_mut().push(problem);
    }

    /// What is wrong, and what is only doubtful, each in the order of the lines.
    pub(super) fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |found: RefCell<Vec<Problem>>| {
            let mut found = found.into_inner();
            found.sort();
            found.dedup();
            found
        };
        (sorted(self.problems), sorted(self.warnings))
    }
}

/// A table of the document. Every key that is asked for is one that it accepts; [`finish`](Self::finish) complains
/// about the others.
pub(super) struct Table<'c, 'i> {
    context: &'c Context<'c>,
    entries: &'c DeTable<'i>,
    /// What it is called in messages: `[ingress]`.
    pub(super) name: String,
    offset: usize,
    asked: RefCell<Vec<&'static str>>,
}

impl<'c, 'i> Table<'c, 'i> {
    /// The document itself.
    pub(super) fn root(context: &'c Context<'c>, table: &'c DeTable<'i>) -> Self {
        Self { context, entries: table, name: String::new(), offset: 0, asked: RefCell::default() }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'c, 'i>> {
        self.asked.borrow_mut().push(key);
        let (found, value) = self.entries.get_key_value(key)?;
        Some(Value {
            context: self.context,
            subject: self.subject(key),
            offset: found.span().start,
            node: value,
        })
    }

    /// The value of a key that must be there; `mend` says what to write.
    pub(super) fn required(&self, key: &'static str, mend: &str) -> Option<Value<'c, 'i>> {
        let value = self.get(key);
        if value.is_none() {
            self.problem(key, format!("is missing; {mend}"));
        }
        value
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The table under a key. One that is empty if there is none, so that its defaults apply.
    pub(super) fn section(&self, key: &'static str, empty: &'c DeTable<'i>) -> Table<'c, 'i> {
        let found = self.get(key);
        let offset = found.as_ref().map_or(0, |value| value.offset);
        let table = found.and_then(|value| value.table("a table")).map_or(empty, |table| table.entries);
        let name = format!("[{key}]");
        Table { context: self.context, entries: table, name, offset, asked: RefCell::default() }
    }

    /// The tables of an array of tables such as `[[source]]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Table<'c, 'i>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.node.get_ref() else {
            value.problem(format!("is {}; write each one under its own [[{key}]]", value.kind()));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                value.problem(format!(
                    "holds {}; write each one under its own [[{key}]]",
                    kind(item.get_ref())
                ));
                continue;
            };
            let name = match table.get("name").map(Spanned::get_ref) {
                Some(DeValue::String(name)) => format!("[[{key}]] {name:?}"),
                _ => format!("[[{key}]] number {}", index + 1),
            };
            let offset = item.span().start;
            tables.push(Table {
                context: self.context,
                entries: table,
                name,
                offset,
                asked: RefCell::default(),
            });
        }
        tables
    }

    /// Notes that something is wrong with a key, which may be absent.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.context.problem(self.line(key), self.subject(key), message);
    }

    /// Notes that something about a key is likely not meant so.
    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        let problem = Problem { line: self.line(key), subject: self.subject(key), message: message.into() };
        self.context.warnings.borrow_mut().push(problem);
    }

    /// Complains about every key that was not asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries {
            let key = key.get_ref().as_ref();
            if asked.contains(&key) {
                continue;
            }
            let mut accepted = asked.clone();
            accepted.sort_unstable();
            accepted.dedup();
            let meant = match near(key, accepted.iter().copied()).first() {
                Some(meant) => format!("did you mean `{meant}`? "),
                None => String::new(),
            };
            self.problem(key, format!("unknown key; {meant}accepted here: {}", accepted.join(", ")));
        }
    }

    /// The line of a key; the table's own if the key is absent.
    pub(super) fn line(&self, key: &str) -> usize {
        let offset = self.entries.get_key_value(key).map_or(self.offset, |(key, _)| key.span().start);
        self.context.line(offset)
    }

    fn subject(&self, key: &str) -> String {
        match (self.name.as_str(), key) {
            ("", key) => format!("`{key}`"),
            (name, "") => name.to_owned(),
            (name, key) => format!("{name}, `{key}`"),
        }
    }
}

/// One value of the document. Its readers note what is wrong and then return `None`.
#[derive(Clone)]
pub(super) struct Value<'c, 'i> {
    context: &'c Context<'c>,
    subject: String,
    offset: usize,
    node: &'c Spanned<DeValue<'i>>,
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

    pub(super) fn warn(&self, message: impl Into<String>) {
        let problem = Problem { line: self.line(), subject: self.subject.clone(), message: message.into() };
        self.context.warnings.borrow_mut().push(problem);
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
        Some(Table {
            context: self.context,
            entries: table,
            name: self.subject.clone(),
            offset: self.offset,
            asked: RefCell::default(),
        })
    }

    /// How messages show the value, where it can be no secret.
    fn shown(&self) -> String {
        match self.node.get_ref() {
            DeValue::Integer(number) => number.to_string(),
            DeValue::String(text) => format!("{text:?}"),
            other => kind(other).to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        kind(self.node.get_ref())
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
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

/// The secrets under `key` and in the files that `key_file` names.
pub(super) fn secrets(
    table: &Table<'_, '_>,
    key: &'static str,
    file_key: &'static str,
    accept: impl Fn(&str) -> Result<(), String>,
) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let take = |at: &Value<'_, '_>, text: String, from: &str| match text.as_str() {
        "" => {
            at.problem(format!("{from}is empty; expected a secret"));
            None
        }
        text => match accept(text) {
            Ok(()) => Some(Secret::from(text)),
            Err(wrong) => {
                at.problem(format!("{from}{wrong} (its value is not shown)"));
                None
            }
        },
    };
    let items = |key, expected: &str| {
        let Some(value) = table.get(key) else { return Vec::new() };
        let items = value.items();
        if items.is_empty() {
            value.problem(format!("is an empty list; expected {expected}"));
        }
        items
    };
    let expected = "a secret: a string, or a list of strings while one is rotated out";
    for item in items(key, expected) {
        let text = item.text(expected);
        secrets.extend(text.and_then(|text| take(&item, text.value, "")));
    }
    let expected = "the path of a file that holds a secret, or a list of them";
    for item in items(file_key, expected) {
        let Some(path) = item.text(expected) else { continue };
        match (item.context.files)(Path::new(&path.value)) {
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                secrets.extend(take(&item, text, &format!("the secret in the file {} ", path.shown)));
            }
            Err(error) => item.problem(format!(
                "the file {} can't be read: {error}; expected a file that holds the secret and nothing else",
                path.shown
            )),
        }
    }
    secrets
}
