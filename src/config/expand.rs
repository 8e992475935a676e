//! `${VAR}` inside strings.

/// Puts the environment's values in place of `${NAME}`; `$${` stands for `${` itself.
///
/// # Errors
/// What is wrong, and how to mend it. Names the variable, never a value.
pub(super) fn expand(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            expanded.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(
                    "`${` without a closing `}`; write `${NAME}` for a variable of the environment, or \
                            `$${` for the characters themselves"
                        .to_owned(),
                );
            };
            if !is_variable(name) {
                return Err(format!(
                    "`${{{name}}}` names no variable: letters, digits and `_` expected, not beginning with a \
                     digit; write `$${{` for the characters `${{` themselves"
                ));
            }
            let Some(value) = env(name) else {
                return Err(format!(
                    "the environment has no variable {name}; set it, or write `$${{` for the characters `${{` \
                     themselves"
                ));
            };
            expanded.push_str(&value);
            rest = after;
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "t0k3n${X}".to_owned())
    }

    #[test]
    fn expands_once_and_leaves_other_dollars_alone() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${TOKEN}", "t0k3n${X}"),
            ("a-${TOKEN}-b", "a-t0k3n${X}-b"),
            ("$${TOKEN}", "${TOKEN}"),
            ("$TOKEN costs 5$", "$TOKEN costs 5$"),
            ("$$", "$$"),
            ("ключ${TOKEN}", "ключt0k3n${X}"),
        ] {
            assert_eq!(expand(text, env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_which_variable_is_missing() {
        for (text, part) in [
            ("${MISSING}", "no variable MISSING"),
            ("${TOKEN", "without a closing `}`"),
            ("${}", "names no variable"),
            ("${1A}", "names no variable"),
            ("${A B}", "names no variable"),
        ] {
            let error = expand(text, env).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
