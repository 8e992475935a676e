//! Hiding what a payload holds that nobody should see on a screen.

use std::borrow::Cow;

/// Hides the values of some keys wherever a payload is shown: in JSON, in JSON inside a JSON string (Poster's
/// `data`), in forms, and as well as possible in any other text.
///
/// It works on the text, so everything else stays as it came, long numbers and the order of members included; only
/// a string or form field with something hidden inside is escaped anew. In doubt it hides too much.
///
/// ```
/// use doorbell::provider::Mask;
///
/// let shown = Mask::default().apply(br#"{"object":"application","data":"{\"access_token\":\"401122:0a1b\"}"}"#);
/// assert_eq!(&*shown, br#"{"object":"application","data":"{\"access_token\":\"[REDACTED]\"}"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    keys: Vec<String>,
}

/// What is shown in place of a value.
const HIDDEN: &[u8] = b"[REDACTED]";

/// How many layers of encoding (strings in strings, forms in forms) are opened. Deeper ones are hidden whole.
const LAYERS: u32 = 8;

impl Default for Mask {
    /// Hides `access_token`.
    fn default() -> Self {
        Self::new(["access_token"])
    }
}

impl Mask {
    /// Hides the values of these keys, whatever the case of their letters.
    pub fn new(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).filter(|key| !key.is_empty()).collect() }
    }

    /// The payload as it may be shown.
    pub fn apply<'a>(&self, payload: &'a [u8]) -> Cow<'a, [u8]> {
        self.masked(payload, LAYERS).map_or(Cow::Borrowed(payload), Cow::Owned)
    }

    /// The payload as text that may be shown; what is not UTF-8 is replaced by `�`.
    pub fn text(&self, payload: &[u8]) -> String {
        String::from_utf8_lossy(&self.apply(payload)).into_owned()
    }

    /// `None` if there is nothing to hide.
    fn masked(&self, text: &[u8], layers: u32) -> Option<Vec<u8>> {
        if !self.may_concern(text) {
            return None;
        }
        if layers == 0 {
            return (text != HIDDEN).then(|| HIDDEN.to_vec());
        }
        let first = text.trim_ascii_start().first();
        let structured = if !matches!(first, Some(b'{' | b'[' | b'"')) && text.contains(&b'=') {
            self.form(text, layers)
        } else {
            self.json(text, layers)
        };
        let plain = self.plain(structured.as_deref().unwrap_or(text));
        plain.or(structured)
    }

    /// Whether a key stands in the text, or may hide in it behind an escape.
    fn may_concern(&self, text: &[u8]) -> bool {
        text.iter().any(|byte| matches!(byte, b'\\' | b'%'))
            || self.keys.iter().any(|key| find(text, key.as_bytes()).is_some())
    }

    fn is_key(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.eq_ignore_ascii_case(name))
    }

    /// Goes from string to string, and needs nothing but that to be JSON: a body that was cut off is masked as well.
    fn json(&self, text: &[u8], layers: u32) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        let mut at = 0;
        while let Some(offset) = text.get(at..)?.iter().position(|&byte| byte == b'"') {
            let start = at + offset;
            let end = string_end(text, start);
            let raw = text.get(start..end)?;
            let decoded: Option<Cow<'_, str>> = match raw
                .strip_prefix(b"\"")
                .and_then(|raw| raw.strip_suffix(b"\""))
            {
                Some(inner) if !inner.contains(&b'\\') => std::str::from_utf8(inner).ok().map(Cow::Borrowed),
                _ => serde_json::from_slice(raw).ok().map(Cow::Owned),
            };
            at = end;
            let Some(decoded) = decoded else { continue };
            let after = skip_space(text, end);
            let replaced = if text.get(after) == Some(&b':') && self.is_key(&decoded) {
                let value = skip_space(text, after + 1);
                at = value_end(text, value);
                let shown = [b"\"", HIDDEN, b"\""].concat();
                if text.get(value..at) == Some(shown.as_slice()) {
                    continue;
                }
                out.extend_from_slice(text.get(copied..value)?);
                Some(shown)
            } else {
                self.masked(decoded.as_bytes(), layers - 1).map(|inner| {
                    out.extend_from_slice(text.get(copied..start).unwrap_or_default());
                    serde_json::to_vec(&String::from_utf8_lossy(&inner)).unwrap_or_default()
                })
            };
            if let Some(replaced) = replaced {
                out.extend_from_slice(&replaced);
                copied = at;
            }
        }
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(text.get(copied..)?);
        Some(out)
    }

    fn form(&self, text: &[u8], layers: u32) -> Option<Vec<u8>> {
        let mut changed = false;
        let pairs: Vec<Cow<'_, [u8]>> = text
            .split(|&byte| byte == b'&')
            .map(|pair| {
                let Some((name, value)) = form_urlencoded::parse(pair).next() else {
                    return Cow::Borrowed(pair);
                };
                let Some(split) = pair.iter().position(|&byte| byte == b'=') else {
                    return Cow::Borrowed(pair);
                };
                let raw_name = &pair[..=split];
                // `data[access_token]`
                let innermost = name.trim_end_matches(']').rsplit('[').next().unwrap_or_default();
                let hidden = if value.as_bytes() == HIDDEN {
                    return Cow::Borrowed(pair);
                } else if self.is_key(innermost) {
                    HIDDEN.to_vec()
                } else if let Some(inner) = self.masked(value.as_bytes(), layers - 1) {
                    form_urlencoded::byte_serialize(&inner).collect::<String>().into_bytes()
                } else {
                    return Cow::Borrowed(pair);
                };
                changed = true;
                Cow::Owned([raw_name, &hidden].concat())
            })
            .collect();
        changed.then(|| pairs.join(&b'&'))
    }

    /// The last resort: a key, something that separates, and what follows.
    fn plain(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        for key in &self.keys {
            let current = out.as_deref().unwrap_or(text);
            if let Some(masked) = plain(current, key.as_bytes()) {
                out = Some(masked);
            }
        }
        out
    }
}

fn plain(text: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(offset) = find(&text[at..], key) {
        let start = at + offset;
        at = start + key.len();
        if !begins_word(text, start) {
            continue;
        }
        let closed =
            skip_tokens(text, at, &[b"\"", b"'", b"\\", b"]", b" ", b"\t", b"%22", b"%27", b"%5D", b"%5C"]);
        let opened = skip_tokens(text, closed, &[b"=", b":", b">", b"%3A", b"%3D", b"%3E"]);
        if opened == closed {
            continue;
        }
        let value = skip_tokens(
            text,
            opened,
            &[b"\"", b"'", b"\\", b" ", b"\t", b"+", b"%22", b"%27", b"%20", b"%5C"],
        );
        let rest = &text[value..];
        let ends: &[&[u8]] = &[
            b"&", b"\"", b"'", b"\\", b",", b"}", b"<", b"\n", b"\r", b"%22", b"%27", b"%26", b"%2C", b"%5C",
            b"%7D",
        ];
        let length = (0..rest.len()).find(|&at| ends.iter().any(|end| starts_with(&rest[at..], end)));
        let end = value + length.unwrap_or(rest.len());
        if end == value || rest.starts_with(HIDDEN) || starts_with(rest, b"%5BREDACTED%5D") {
            continue;
        }
        out.extend_from_slice(&text[copied..value]);
        out.extend_from_slice(HIDDEN);
        copied = end;
        at = end;
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&text[copied..]);
    Some(out)
}

/// Whether nothing before belongs to the same word. A percent-encoded byte does not.
fn begins_word(text: &[u8], start: usize) -> bool {
    let encoded = start >= 3 && text[start - 3] == b'%';
    match start.checked_sub(1).and_then(|before| text.get(before)) {
        Some(byte) => encoded || !(byte.is_ascii_alphanumeric() || *byte == b'_'),
        None => true,
    }
}

fn skip_tokens(text: &[u8], mut at: usize, tokens: &[&[u8]]) -> usize {
    while let Some(token) = tokens.iter().find(|token| starts_with(&text[at..], token)) {
        at += token.len();
    }
    at
}

fn starts_with(text: &[u8], token: &[u8]) -> bool {
    text.get(..token.len()).is_some_and(|start| start.eq_ignore_ascii_case(token))
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))
}

fn skip_space(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the closing quote of the string that starts here, or the end of the text.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Behind the JSON value that starts here, or the end of the text.
fn value_end(text: &[u8], start: usize) -> usize {
    match text.get(start) {
        Some(b'"') => string_end(text, start),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            let mut at = start;
            while let Some(byte) = text.get(at) {
                match byte {
                    b'"' => {
                        at = string_end(text, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            text.len()
        }
        _ => {
            let rest = text.get(start..).unwrap_or_default();
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
            start + rest.iter().position(ends).unwrap_or(rest.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_wherever_the_key_stands() {
        let mask = Mask::default();
        for (payload, shown) in [
            (r#"{"access_token":"s3cret","n":1.10}"#, r#"{"access_token":"[REDACTED]","n":1.10}"#),
            (r#"{"ACCESS_token" : 5e3 , "n":2}"#, r#"{"ACCESS_token" : "[REDACTED]" , "n":2}"#),
            (
                r#"{"access\u005ftoken":["s3cret",{"a":"]"}],"n":2}"#,
                r#"{"access\u005ftoken":"[REDACTED]","n":2}"#,
            ),
            (
                r#"{"data":"{\"access_token\":\"s3cret\",\"url\":\"https:\/\/example.com\"}","n":12345678901234567890}"#,
                r#"{"data":"{\"access_token\":\"[REDACTED]\",\"url\":\"https://example.com\"}","n":12345678901234567890}"#,
            ),
            (r#"{"access_token":"s3cr"#, r#"{"access_token":"[REDACTED]""#),
            (r#"{"a":"{\"access_token\":\"s3cr"#, r#"{"a":"{\"access_token\":\"[REDACTED]"#),
            ("access_token=s3cret&x=1", "access_token=[REDACTED]&x=1"),
            ("x=1&data%5Baccess%5Ftoken%5D=s3cret&y=2", "x=1&data%5Baccess%5Ftoken%5D=[REDACTED]&y=2"),
            (
                "data=%7B%22access_token%22%3A%22s3cret%22%7D&y=2",
                "data=%7B%22access_token%22%3A%22%5BREDACTED%5D%22%7D&y=2",
            ),
            (
                r#"{"url":"https://x.example/?access_token=s3cret&y=2"}"#,
                r#"{"url":"https://x.example/?access_token=[REDACTED]&y=2"}"#,
            ),
            ("Access_Token: Bearer s3cret\nx", "Access_Token: [REDACTED]\nx"),
            ("<access_token>s3cret</access_token>", "<access_token>[REDACTED]</access_token>"),
            (r#"{"access_token":null}"#, r#"{"access_token":"[REDACTED]"}"#),
        ] {
            assert_eq!(mask.text(payload.as_bytes()), shown, "{payload}");
        }
    }

    #[test]
    fn leaves_the_rest_as_it_is() {
        let mask = Mask::new(["access_token", "pin"]);
        for payload in [
            r#"{"a": "\u0041\/", "b":"access_token", "my_access_token":"x", "spin":"y"}"#,
            "",
            "access_token",
            "\"",
            "{\"a\\",
            "a=%zz&b",
        ] {
            assert!(matches!(mask.apply(payload.as_bytes()), Cow::Borrowed(_)), "{payload}");
        }
        assert!(matches!(
            Mask::new(Vec::<String>::new()).apply(br#"{"access_token":"x"}"#),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn many_layers_are_hidden_in_bounded_time() {
        let mut text = r#"{"access_token":"s3cret"}"#.to_owned();
        for _ in 0..12 {
            text = serde_json::to_string(&text).unwrap();
        }
        assert!(!Mask::default().text(text.as_bytes()).contains("s3cret"));
        let deep = format!("a={}access_token", "%25".repeat(20_000));
        let _ = Mask::default().text(deep.as_bytes());
    }
}
