//! Which events go to which handler.

use std::{fmt, time::Duration};

/// A pattern over event kinds, in which `*` stands for any characters (also none).
///
/// ```
/// use doorbell::Pattern;
///
/// let stock = Pattern::new("stock.*");
/// assert!(stock.matches("stock.changed") && !stock.matches("product.changed"));
/// assert!(Pattern::new("*").matches("anything.at.all"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that this text is. Kinds are in lower case, and so is the pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern fits this kind.
    pub fn matches(&self, kind: &str) -> bool {
        let mut pieces = self.0.split('*');
        // `split` yields at least one piece.
        let Some(mut rest) = pieces.next().and_then(|first| kind.strip_prefix(first)) else { return false };
        let mut last = None;
        for piece in pieces {
            // What stands before the last piece may be matched as early as possible; the last one must end the kind.
            if let Some(middle) = last.replace(piece) {
                let Some(at) = rest.find(middle) else { return false };
                rest = &rest[at + middle.len()..];
            }
        }
        last.map_or(rest.is_empty(), |end| rest.ends_with(end))
    }

    /// Whether some kind could fit both patterns. Used to tell a typing error from a rare event.
    pub fn may_overlap(&self, other: &Self) -> bool {
        let theirs: Vec<char> = other.0.chars().collect();
        // Whether what is left of our pattern overlaps with each of the ends of theirs: at first nothing is left of
        // ours, and a `*` may stand for nothing.
        let all_stars = |rest: &[char]| rest.iter().all(|&c| c == '*');
        let mut row: Vec<bool> = (0..=theirs.len()).map(|at| all_stars(&theirs[at..])).collect();
        for ours in self.0.chars().rev() {
            let mut shorter = row[theirs.len()];
            row[theirs.len()] &= ours == '*';
            for (at, &their) in theirs.iter().enumerate().rev() {
                let without_either = std::mem::replace(&mut shorter, row[at]);
                row[at] = match (ours, their) {
                    ('*', _) | (_, '*') => row[at] || row[at + 1],
                    _ => ours == their && without_either,
                };
            }
        }
        row[0]
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// How often and when a failed job is tried again: exponentially, factor 2, from `min` up to `max`, each delay drawn
/// uniformly from 0.8 to 1.0 of that.
///
/// The default (23 attempts, 5 s to 6 h) spans at least 52 hours: a target that is down over a weekend loses nothing.
///
/// ```
/// use doorbell::RetryPolicy;
/// use std::time::Duration;
///
/// let impatient = RetryPolicy { max_attempts: 3, max: Duration::from_secs(60), ..RetryPolicy::default() };
/// assert_eq!(impatient.min, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many attempts a job gets before it is dead; at least 1.
    pub max_attempts: u32,
    /// The delay after the first failure.
    pub min: Duration,
    /// The longest delay.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 23, min: Duration::from_secs(5), max: Duration::from_secs(6 * 3600) }
    }
}

/// Which sources a route listens to.
///
/// ```
/// use doorbell::{Route, SourceFilter};
///
/// let tills = SourceFilter::Named(vec!["cafe".into(), "bar".into()]);
/// let route = Route { name: "stock".into(), sources: tills, ..Route::new("*", "stock.*") };
/// assert!(route.wants("bar", "stock.changed") && !route.wants("erp", "stock.changed"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFilter {
    /// Every source (`*`).
    Any,
    /// These sources, by name.
    Named(Vec<String>),
}

impl From<&str> for SourceFilter {
    /// The source of that name; `*` is every source.
    fn from(name: &str) -> Self {
        match name {
            "*" => Self::Any,
            name => Self::Named(vec![name.to_owned()]),
        }
    }
}

impl SourceFilter {
    /// Whether events of this source are meant.
    pub fn matches(&self, source: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.iter().any(|name| name == source),
        }
    }
}

/// Events of some kinds from some sources, and how their jobs are run. What handles them is kept beside it.
///
/// ```
/// use doorbell::Route;
///
/// let route = Route { name: "stock-to-shop".into(), ..Route::new("cafe", "stock.*") };
/// assert!(route.wants("cafe", "stock.changed"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The route's name, unique in a receiver. Part of each job's id: a renamed route is a new route.
    pub name: String,
    /// The sources it listens to.
    pub sources: SourceFilter,
    /// The kinds it wants; one match suffices.
    pub events: Vec<Pattern>,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Whether it gets only those of its events that no other route wants. Of several such routes, each gets them.
    pub fallback: bool,
}

impl Route {
    /// How long an attempt may take where nothing else is said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// The events of a source (`*`: of every source) whose kind fits the pattern, with the defaults for all else. It is
    /// named `source:pattern`.
    pub fn new(source: &str, pattern: &str) -> Self {
        Self {
            name: format!("{source}:{pattern}"),
            sources: source.into(),
            events: vec![pattern.into()],
            retry: RetryPolicy::default(),
            timeout: Self::DEFAULT_TIMEOUT,
            fallback: false,
        }
    }

    /// Whether an event of this kind from this source is one of the route's. A [fallback](Self::fallback) gets it only if
    /// no other route does.
    pub fn wants(&self, source: &str, kind: &str) -> bool {
        self.sources.matches(source) && self.events.iter().any(|pattern| pattern.matches(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, kind, expected) in [
            ("stock.*", "stock.changed", true),
            ("stock.*", "stock.", true),
            ("stock.*", "stock", false),
            ("*.update", "document.update", true),
            ("*.update", "document.updated", false),
            ("*t*o*", "document", false),
            ("*o*n*", "document", true),
            ("a*b", "ab", true),
            ("a*b", "a", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("exact", "exact", true),
            ("**x**", "axb", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(kind), expected, "{pattern} on {kind}");
        }
    }

    #[test]
    fn overlap_is_exact() {
        for (one, other, expected) in [
            ("stock.*", "stock.changed", true),
            ("stok.*", "stock.changed", false),
            ("*.update", "product.*", true),
            ("product.*", "*.update", true),
            ("order.*", "product.*", false),
            ("*.chnaged", "*.changed", false),
            ("*.changed", "*.changed", true),
            ("stock.*", "*.changed", true),
            ("stock.*", "*stock", true),
            ("stock.*d", "*.change", false),
            ("a*b*c", "ab*d*c", true),
            ("a*b*c", "*d", false),
            ("**", "", true),
            ("", "", true),
            ("", "x", false),
            ("*x", "*", true),
            ("ab*ba", "aba", false),
        ] {
            let (one, other) = (Pattern::new(one), Pattern::new(other));
            assert_eq!(one.may_overlap(&other), expected, "{one} and {other}");
            assert_eq!(other.may_overlap(&one), expected, "{other} and {one}");
        }
    }
}
