//! The text of an error, as a store keeps it.

use alloc::string::String;
use core::error::Error;
use core::fmt;

use crate::error::with_causes;

/// The text of an error, 2,048 bytes of UTF-8 at most and without a NUL, which not every store can keep.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ErrorText(String);

impl ErrorText {
    /// The most bytes of a text.
    pub const MOST_BYTES: usize = 2_048;

    /// A text made of this one, or of its beginning: what is longer ends before the character that does not fit. A NUL
    /// becomes U+FFFD.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars() {
            let character = match character {
                '\0' => char::REPLACEMENT_CHARACTER,
                other => other,
            };
            if kept.len() + character.len_utf8() > Self::MOST_BYTES {
                break;
            }
            kept.push(character);
        }
        Self(kept)
    }

    /// What the error says, and what each of its causes says that is not said yet.
    #[must_use]
    pub fn of(error: &dyn Error) -> Self {
        Self::new(&with_causes(error))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_bounded_and_the_beginning_of_what_was_said(text in "[a\\x00é🧪]{0,2000}") {
            let kept = ErrorText::new(&text);
            let wanted = text.replace('\0', "\u{FFFD}");
            prop_assert!(kept.as_str().len() <= ErrorText::MOST_BYTES);
            prop_assert!(wanted.starts_with(kept.as_str()));
            // What is cut off would not fit.
            let next = wanted[kept.as_str().len()..].chars().next();
            let more = next.map_or(usize::MAX, |next| kept.as_str().len() + next.len_utf8());
            prop_assert!(more > ErrorText::MOST_BYTES);
        }
    }
}
