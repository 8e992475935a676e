//! Shared secrets: compared in constant time, never printed.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// One shared secret. Prints as `[REDACTED]`; its memory is wiped when it is dropped.
///
/// ```
/// use doorbell::provider::Secret;
///
/// let secret = Secret::from("5d8e1c0f47a94b62");
/// assert_eq!(format!("{secret:?}"), "[REDACTED]");
/// assert_eq!(secret.expose(), b"5d8e1c0f47a94b62");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The secret's bytes: for keys and comparisons, never for output.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// All secrets that are valid now: one, or several while one is rotated out.
///
/// An empty text is no secret (anybody could sign with it) and is left out. Nothing is built with one, neither a receiver
/// nor a `Verifier` nor a target: it is likely an environment variable that is set, and empty. A provider of your own says
/// so by [`Profile::lacks_secret`](super::Profile::lacks_secret).
///
/// ```
/// use doorbell::provider::Secrets;
///
/// let rotating: Secrets = ["new", "old"].into();
/// assert!(rotating.matches(b"old"));
/// assert_eq!(format!("{rotating:?}"), "[[REDACTED], [REDACTED]]");
/// ```
#[derive(Clone, Default)]
pub struct Secrets {
    secrets: Vec<Secret>,
    had_empty: bool,
}

impl Secrets {
    /// No secret at all: nothing matches.
    pub const fn none() -> Self {
        Self { secrets: Vec::new(), had_empty: false }
    }

    /// Whether there is no secret.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether an empty text was among what these were made of, and left out.
    pub fn had_empty(&self) -> bool {
        self.had_empty
    }

    /// The secrets, the preferred one (the one to sign with) first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter()
    }

    /// Whether `candidate` is one of them. The time taken tells neither which one nor how much of it was right
    /// nor how long it is.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let candidate = Sha256::digest(candidate);
        let any = self.secrets.iter().fold(Choice::from(0), |found, secret| {
            found | Sha256::digest(secret.expose()).as_slice().ct_eq(candidate.as_slice())
        });
        any.into()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.secrets).finish()
    }
}

impl<S: Into<Secret>> From<S> for Secrets {
    fn from(one: S) -> Self {
        Self::from([one])
    }
}

impl<S: Into<Secret>> From<Vec<S>> for Secrets {
    fn from(several: Vec<S>) -> Self {
        several.into_iter().collect()
    }
}

impl<S: Into<Secret>, const N: usize> From<[S; N]> for Secrets {
    fn from(several: [S; N]) -> Self {
        several.into_iter().collect()
    }
}

impl<S: Into<Secret>> FromIterator<S> for Secrets {
    fn from_iter<I: IntoIterator<Item = S>>(several: I) -> Self {
        let (empty, secrets): (Vec<Secret>, _) =
            several.into_iter().map(Into::into).partition(|secret| secret.expose().is_empty());
        Self { secrets, had_empty: !empty.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_several_matches() {
        let secrets = Secrets::from(vec!["one", "two"]);
        assert!(secrets.matches(b"one") && secrets.matches(b"two"));
        assert!(!secrets.matches(b"on") && !secrets.matches(b"") && !secrets.matches(b"onetwo"));
        assert!(!Secrets::none().matches(b""));
    }

    #[test]
    fn an_empty_text_is_no_secret() {
        assert!(Secrets::from("").is_empty());
        assert!(!Secrets::from(["", "one"]).matches(b""));
    }
}
