//! Secrets, as strings or in files, one or several.

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
