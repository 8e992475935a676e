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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_line_of_text() {
        assert_eq!(one_line(b"<h1>\n\tOops\x1b[31m\0</h1> "), "<h1> Oops [31m </h1>");
        assert_eq!(one_line(&"né".as_bytes()[..2]), "n");
        assert_eq!(one_line(b"\xff\xfe!"), "\u{fffd}\u{fffd}!");
    }
}
