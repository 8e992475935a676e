//! What is better kept in a file: secrets, and URLs that hold a password; one or several.

use std::path::Path;

use super::{entry::Value, reader::Table};
use crate::provider::Secret;

/// The secrets under `key` and in the files that `key_file` names.
pub(super) fn secrets(
    table: &Table<'_, '_>,
    key: &'static str,
    file_key: &'static str,
    accept: impl Fn(&str) -> Result<(), String>,
) -> Vec<Secret> {
    let words = Words {
        what: "secret",
        one: "a secret",
        some: "a secret: a string, or a list of strings while one is rotated out",
    };
    confidential(table, key, file_key, &words, |text| accept(text).map(|()| Secret::from(text)))
}

/// What messages call what is read.
pub(super) struct Words {
    /// Without an article.
    pub(super) what: &'static str,
    /// With one.
    pub(super) one: &'static str,
    /// One, or several in a list.
    pub(super) some: &'static str,
}

/// What `parse` makes of the strings under `key` and in the files that `key_file` names. No message shows them.
pub(super) fn confidential<T>(
    table: &Table<'_, '_>,
    key: &'static str,
    file_key: &'static str,
    Words { what, one, some }: &Words,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut found = Vec::new();
    let take = |at: &Value<'_, '_>, text: &str, from: &str| match text {
        "" => {
            at.problem(format!("{from}is empty; expected {one}"));
            None
        }
        text => match parse(text) {
            Ok(parsed) => Some(parsed),
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
    for item in items(key, some) {
        let text = item.text(some);
        found.extend(text.and_then(|text| take(&item, &text.value, "")));
    }
    let expected = format!("the path of a file that holds {one}, or a list of them");
    for item in items(file_key, &expected) {
        let Some(path) = item.text(&expected) else { continue };
        match (item.context.files)(Path::new(&path.value)) {
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']);
                found.extend(take(&item, text, &format!("the {what} in the file {} ", path.shown)));
            }
            Err(error) => item.problem(format!(
                "the file {} can't be read: {error}; expected a file that holds the {what} and nothing else",
                path.shown
            )),
        }
    }
    found
}
