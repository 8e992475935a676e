//! How the commands print: aligned text for people, the API's JSON for programs.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write as _},
};

use serde_json::Value;

use super::{client::ApiError, print::harmless};

/// How to print.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    /// JSON rather than text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints an answer: as it is, or what `text` makes of it.
    pub(crate) fn answer(
        self,
        answer: &Value,
        text: impl FnOnce(&Value) -> Result<String, ApiError>,
    ) -> Result<(), ApiError> {
        Self::print(&if self.json { format!("{answer:#}\n") } else { text(answer)? })
    }

    /// Prints text as it is.
    pub(crate) fn print(text: &str) -> Result<(), ApiError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }
}

/// Adds a line to the text.
pub(super) fn line(text: &mut String, line: impl Display) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}

/// Columns, each as wide as its widest cell. The last one is not padded.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| harmless(cell))).collect();
    let mut widths = titles.map(|title| title.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let titles = titles.map(str::to_owned);
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string can't fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text from outside in its lines, each indented, without characters that a terminal would obey.
pub(super) fn indented(text: &str) -> String {
    let mut out = String::new();
    for each in text.lines() {
        line(&mut out, format_args!("  {}", harmless(&each.replace('\t', "    "))));
    }
    out
}

/// JSON on as many lines as it takes to read it. Only blanks between its tokens change: numbers, keys and their order
/// stay as they were sent. What is no JSON stays as it is.
pub(super) fn readable(text: &str) -> String {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut chars = text.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                let mut escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    match c {
                        _ if escaped => escaped = false,
                        '\\' => escaped = true,
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = chars.next_if(|&next| next == '}' || next == ']') {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_harmless() {
        let rows = [["a".to_owned(), "é\u{1b}[31m".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(table(["ID", "KIND"], &rows), "ID    KIND\na     é\\u{1b}[31m\nlong\n");
    }

    #[test]
    fn json_is_spread_out_and_nothing_else() {
        let text = r#"{"z":12345678901234567890.10,"a": [ ],"b":[1,{"c":"x\"{,:"}],"e":{}}"#;
        let expected = "{\n  \"z\": 12345678901234567890.10,\n  \"a\": [],\n  \"b\": [\n    1,\n    {\n      \
                        \"c\": \"x\\\"{,:\"\n    }\n  ],\n  \"e\": {}\n}";
        assert_eq!(readable(text), expected);
        assert_eq!(readable("a=1&b=2"), "a=1&b=2");
    }
}
