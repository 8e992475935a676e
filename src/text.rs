//! Text from outside, made fit for an error message.

/// The bytes as text in one line: no control characters, no trailing half of a character.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
    text.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text, cut off at a character where it has more than `longest` bytes. Then an ellipsis, three bytes more, says so.
pub(crate) fn shorten(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_line_of_text() {
        assert_eq!(one_line(b"<h1>\n\tOops\x1b[31m\0</h1> "), "<h1> Oops [31m </h1>");
        assert_eq!(one_line(&"né".as_bytes()[..2]), "n");
        assert_eq!(one_line(b"\xff\xfe!"), "\u{fffd}\u{fffd}!");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let short = |text: &str, longest| shorten(text.to_owned(), longest);
        assert_eq!(short("üü", 4), "üü", "no longer than that is whole");
        assert_eq!(short("üü", 3), "ü…", "no half of a character");
        assert_eq!(short("üü", 2), "ü…");
        assert_eq!(short("ü", 1), "…");
        assert_eq!(short("", 0), "");
    }
}
