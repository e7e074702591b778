//! Text that is checked once, at the edge: newtypes whose values are valid by construction.

use std::fmt;

/// Reason why a text is not a valid value of its type: a predicate whose subject is the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// Creates an error with this reason, such as `must not be empty`.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// Declares a newtype over `String` that can be created only through `$check`, with parsing, serde, display
/// and an OpenAPI schema.
///
/// `$check` is `fn(&str) -> Result<(), Invalid>`.
macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident, $check:path) => {
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        $(#[$meta])*
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::text::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::text::Invalid;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use text_type;

/// Refuses an empty text, one longer than `max` bytes, and control characters (NUL among them).
pub(crate) fn plain(text: &str, max: usize) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    if text.len() > max {
        return Err(Invalid::new(format_args!("must be at most {max} bytes long")));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new("must not contain control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    text_type!(
        /// A text for these tests.
        Word,
        check_word
    );

    fn check_word(text: &str) -> Result<(), Invalid> {
        plain(text, 8)
    }

    #[test]
    fn no_way_in_goes_past_the_check() {
        for text in ["", "too long a word", "a\0", "a\u{85}", "a\u{1b}[0m"] {
            assert!(text.parse::<Word>().is_err(), "{text:?}");
            assert!(Word::try_from(text.to_owned()).is_err(), "{text:?}");
            let json = serde_json::to_string(text).expect("text is JSON");
            assert!(serde_json::from_str::<Word>(&json).is_err(), "{text:?}");
        }
        for json in ["1", "null", "true", "[]", "{}"] {
            assert!(serde_json::from_str::<Word>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_text_comes_out_as_it_went_in() {
        let word: Word = "Grüß".parse().expect("a valid word");
        assert_eq!((word.as_str(), word.as_ref()), ("Grüß", "Grüß"));
        assert_eq!(word.to_string(), "Grüß");
        assert_eq!(serde_json::to_string(&word).expect("text is JSON"), "\"Grüß\"");
        assert_eq!(String::from(word), "Grüß");
    }

    #[test]
    fn reasons_follow_the_name_of_a_field() {
        for text in ["", "too long a word", "a\0"] {
            let reason = text.parse::<Word>().expect_err("it is no word").to_string();
            assert!(reason.starts_with("must "), "{reason}");
        }
    }
}
