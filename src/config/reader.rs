//! Reads a TOML document value by value: remembers where each stands, which keys were asked for, and collects what
//! is wrong instead of stopping at it.

use std::{cell::RefCell, io, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    entry::{Value, kind},
    error::Problem,
    value::near,
};

/// What every value is read with: the text it stands in, where its variables and files come from, and where what is
/// wrong is noted.
pub(super) struct Context<'c> {
    text: &'c str,
    pub(super) env: &'c dyn Fn(&str) -> Option<String>,
    pub(super) files: &'c dyn Fn(&Path) -> io::Result<String>,
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

    pub(super) fn warning(&self, line: usize, subject: impl Into<String>, message: impl Into<String>) {
        let problem = Problem { line, subject: subject.into(), message: message.into() };
        self.warnings.borrow_mut().push(problem);
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
    name: String,
    offset: usize,
    asked: RefCell<Vec<&'static str>>,
}

impl<'c, 'i> Table<'c, 'i> {
    /// The document itself.
    pub(super) fn root(context: &'c Context<'c>, entries: &'c DeTable<'i>) -> Self {
        Self::new(context, entries, String::new(), 0)
    }

    pub(super) fn new(
        context: &'c Context<'c>,
        entries: &'c DeTable<'i>,
        name: String,
        offset: usize,
    ) -> Self {
        Self { context, entries, name, offset, asked: RefCell::default() }
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
        Table::new(self.context, table, name, offset)
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
            tables.push(Table::new(self.context, table, name, offset));
        }
        tables
    }

    /// Notes that something is wrong with a key, which may be absent.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.context.problem(self.line(key), self.subject(key), message);
    }

    /// Whether something was noted to be wrong with a key.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        let subject = self.subject(key);
        self.context.problems.borrow().iter().any(|problem| problem.subject == subject)
    }

    /// Notes that something about a key is likely not meant so.
    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        self.context.warning(self.line(key), self.subject(key), message);
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
