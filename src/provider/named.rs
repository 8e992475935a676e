//! Settings whose values are words.

/// A setting's text that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {what}: {expected} expected")]
pub struct SettingError {
    pub(crate) value: String,
    pub(crate) what: &'static str,
    pub(crate) expected: String,
}

impl SettingError {
    pub(crate) fn new(value: &str, what: &'static str, expected: impl Into<String>) -> Self {
        Self { value: value.to_owned(), what, expected: expected.into() }
    }
}

/// Gives an enum its names in settings: `FromStr`, `Display`, `ALL` and `name`.
macro_rules! named {
    ($type:ident, $what:literal, { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in settings.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::provider::SettingError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|known| known.name() == text)
                    .ok_or_else(|| Self::Err::new(text, $what, concat!("one of" $(, " ", $name)+)))
            }
        }
    };
}
pub(crate) use named;
