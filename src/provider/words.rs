//! Enums of the words that a sender uses, and may add to.

/// Makes an enum of a sender's words, and of `Other` for those that this version does not know.
///
/// Words are recognised whatever the case of their letters, as kinds are written in lower case. A word may have
/// several spellings: the first one is printed.
macro_rules! words {
    (
        $(#[$about:meta])*
        $visible:vis enum $name:ident {
            $($(#[$meaning:meta])* $variant:ident = $word:literal $(| $spelling:literal)*,)+
        }
    ) => {
        $(#[$about])*
        ///
        /// Prints and serialises as the sender's own word.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        $visible enum $name {
            $($(#[$meaning])* $variant,)+
            /// Something else, as the sender wrote it.
            Other(String),
        }

        impl $name {
            /// All but [`Other`](Self::Other).
            $visible const KNOWN: &[Self] = &[$(Self::$variant),+];

            /// The sender's word.
            $visible fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                $(if [$word $(, $spelling)*].iter().any(|known| word.eq_ignore_ascii_case(known)) {
                    return Self::$variant;
                })+
                Self::Other(word)
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                word.to_owned().into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, word: &str) -> bool {
                self.as_str() == word
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, word: &&str) -> bool {
                self.as_str() == *word
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            /// Reads a string, or a number as its digits stand.
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::provider::event::id(deserializer).map(Self::from)
            }
        }
    };
}
pub(crate) use words;

/// Every kind that these words make, `entity.action`. For a static: what it gives is never freed.
pub(crate) fn kinds(entities: &[impl AsRef<str>], actions: &[impl AsRef<str>]) -> Vec<&'static str> {
    let of = |entity| {
        actions
            .iter()
            .map(move |action: &_| format!("{entity}.{}", AsRef::<str>::as_ref(action)).leak() as &_)
    };
    entities.iter().map(AsRef::as_ref).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    words! {
        /// A few words.
        enum Word {
            /// It goes.
            Go = "GO",
            /// It stops.
            Stop = "stop_it" | "stop it" | "halt",
        }
    }

    #[test]
    fn known_words_in_any_spelling_and_unknown_ones_as_they_came() {
        assert_eq!(
            ["GO", "go", "Halt", "STOP IT"].map(Word::from),
            [Word::Go, Word::Go, Word::Stop, Word::Stop]
        );
        assert_eq!(Word::from("Wait "), Word::Other("Wait ".into()));
        assert_eq!(Word::KNOWN.iter().map(Word::as_str).collect::<Vec<_>>(), ["GO", "stop_it"]);
        assert_eq!(super::kinds(&["a", "b"], Word::KNOWN), ["a.GO", "a.stop_it", "b.GO", "b.stop_it"]);
        assert_eq!(format!("{:>6}|{}", Word::Go, Word::from("x")), "    GO|x");
        let unknown = Word::from("x");
        assert!(Word::Stop == "stop_it" && unknown == "x" && unknown != "stop_it");
    }

    #[test]
    fn json_keeps_the_word() {
        let words = r#"["GO","7","x\"y"]"#;
        let read: Vec<Word> = serde_json::from_str(r#"["go",7,"x\"y"]"#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), words);
        let value: serde_json::Value = serde_json::from_str(words).unwrap();
        assert_eq!(serde_json::from_value::<Vec<Word>>(value).unwrap(), read);
        assert!(serde_json::from_str::<Word>("null").is_err());
    }
}
