//! What signatures are made of: digests, their text forms, keys, comparison in constant time.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};

use super::{Secret, Secrets, named::named};

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-1. Still sound inside an HMAC; for old senders only.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The length of its digests, in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The HMAC of the parts, one after the other.
    pub(crate) fn sign(self, key: &Secret, parts: &[&[u8]]) -> Vec<u8> {
        // A key of any length is a key for an HMAC, so there is always a digest; were there none, `verify` would
        // find no candidate of the right length.
        macro_rules! digest {
            ($hash:ty) => {
                Hmac::<$hash>::new_from_slice(key.expose()).map_or_else(
                    |_| Vec::new(),
                    |mut mac| {
                        for part in parts {
                            mac.update(part);
                        }
                        mac.finalize().into_bytes().to_vec()
                    },
                )
            };
        }
        match self {
            Self::Sha1 => digest!(Sha1),
            Self::Sha256 => digest!(Sha256),
            Self::Sha512 => digest!(Sha512),
        }
    }

    /// Whether one of the candidates is the HMAC of the parts under one of the keys. The time taken does not tell
    /// how much of a candidate was right.
    pub(crate) fn verify(self, keys: &Secrets, parts: &[&[u8]], candidates: &[Vec<u8>]) -> bool {
        let found = keys.iter().fold(Choice::from(0), |found, key| {
            let digest = self.sign(key, parts);
            debug_assert_eq!(digest.len(), self.length());
            candidates.iter().fold(found, |found, candidate| found | digest.ct_eq(candidate))
        });
        found.into()
    }
}

named!(Algorithm, "a hash function", { Sha1 => "sha1", Sha256 => "sha256", Sha512 => "sha512" });

/// How a digest is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// Hexadecimal digits, all in lower or all in upper case.
    #[default]
    Hex,
    /// Base64 with padding, in the standard alphabet.
    Base64,
}

impl Encoding {
    /// The bytes that the text stands for. Each digest has one text (in hex two: lower and upper case), so that no
    /// changed signature is still a right one.
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => {
                let one_case = !(text.bytes().any(|byte| byte.is_ascii_lowercase())
                    && text.bytes().any(|byte| byte.is_ascii_uppercase()));
                if one_case { hex::decode(text).ok() } else { None }
            }
            Self::Base64 => BASE64.decode(text).ok(),
        }
    }

    /// The bytes as text.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
        }
    }
}

named!(Encoding, "an encoding", { Hex => "hex", Base64 => "base64" });

/// How a configured secret becomes the key. It is a setting and never guessed: `whsec_…` means one thing to
/// Standard Webhooks and another to Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyDecoding {
    /// The secret's text itself, in UTF-8.
    #[default]
    Utf8,
    /// The secret is the key in hexadecimal digits.
    Hex,
    /// The secret is the key in base64.
    Base64,
    /// The secret is the key in base64, after an optional `whsec_`.
    Whsec,
}

impl KeyDecoding {
    /// The keys that these secrets stand for.
    pub(crate) fn keys(self, secrets: &Secrets) -> Result<Secrets, KeyError> {
        secrets.iter().enumerate().map(|(at, secret)| self.key(secret, at)).collect()
    }

    fn key(self, secret: &Secret, at: usize) -> Result<Secret, KeyError> {
        let error = || KeyError { number: at + 1, expected: self };
        let text = secret.expose();
        let key = match self {
            Self::Utf8 => return Ok(secret.clone()),
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Whsec => BASE64.decode(text.strip_prefix(b"whsec_").unwrap_or(text)).ok(),
        };
        // An empty key would let anybody sign.
        key.filter(|key| !key.is_empty()).map(Secret::new).ok_or_else(error)
    }
}

named!(KeyDecoding, "a way to read keys", { Utf8 => "utf8", Hex => "hex", Base64 => "base64", Whsec => "whsec" });

/// A secret that is not written as its [`KeyDecoding`] says. Never shows the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "secret number {number} can't be read as key = \"{expected}\": {} expected; if the text itself is the key, set key = \"utf8\"",
    match .expected {
        KeyDecoding::Utf8 => "text",
        KeyDecoding::Hex => "hexadecimal digits",
        KeyDecoding::Base64 => "base64 with padding",
        KeyDecoding::Whsec => "base64 with padding, after an optional `whsec_`,",
    }
)]
#[non_exhaustive]
pub struct KeyError {
    /// Which of the secrets it is, from 1.
    pub number: usize,
    /// What it should have been.
    pub expected: KeyDecoding,
}
