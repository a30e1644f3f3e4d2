//! What the names of a bus's channels begin with.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::error::Error;
use core::fmt;

use super::lane::Lane;

/// What the names of a bus's channels begin with, so that services can share a server: nodes with different prefixes
/// do not reach each other.
///
/// A prefix is 1 to 52 bytes of ASCII letters, digits, `_` and `-`. An adapter whose server takes more names the other
/// characters it allows; a dot then stands between two others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The longest prefix, in bytes. Postgres cuts names at 63 bytes, and a lane with its separator adds 11.
    pub const MAX_BYTES: usize = 52;

    /// The prefix of this text, in which `also` is allowed beside letters, digits, `_` and `-`.
    ///
    /// # Errors
    /// When the text is empty, longer than [`MAX_BYTES`](Self::MAX_BYTES), has another character in it, or a dot with
    /// nothing before or after it.
    pub fn new(text: &str, also: &'static str) -> Result<Self, PrefixError> {
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || also.contains(c);
        if text.len() > Self::MAX_BYTES
            || !text.chars().all(allowed)
            || text.split('.').any(str::is_empty)
        {
            return Err(PrefixError {
                text: text.to_owned(),
                also,
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text of the prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a lane's channel: the prefix, the separator and the lane.
    #[must_use]
    pub fn channel(&self, separator: char, lane: Lane) -> String {
        format!("{}{separator}{lane}", self.0)
    }

    /// The lane of the channel of this name, if the name is one that [`channel`](Self::channel) makes.
    #[must_use]
    pub fn lane(&self, separator: char, channel: &str) -> Option<Lane> {
        let lane = channel.strip_prefix(&self.0)?.strip_prefix(separator)?;
        lane.parse().ok()
    }
}

impl Default for Prefix {
    /// The prefix `midplane`.
    fn default() -> Self {
        Self("midplane".to_owned())
    }
}

/// Why a text is no [`Prefix`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixError {
    text: String,
    also: &'static str,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, most) = (&self.text, Prefix::MAX_BYTES);
        write!(
            f,
            "the prefix {text:?} must be 1 to {most} ASCII letters, digits, '_' and '-'"
        )?;
        match self.also {
            "" => Ok(()),
            also => write!(f, ", or of {also:?}, no dot first, last or doubled"),
        }
    }
}

impl Error for PrefixError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_prefix_is_of_plain_characters_and_those_the_adapter_allows() {
        let longest = "p_1-".repeat(13);
        for text in ["a", "Shop-eu_1", &longest] {
            assert_eq!(
                Prefix::new(text, "").map(|prefix| prefix.0),
                Ok(text.into())
            );
        }
        let long = "a".repeat(Prefix::MAX_BYTES + 1);
        for text in ["", "a.b", "a b", "a\n", "a\"b", "ä", "a*", &long] {
            let refused = Prefix::new(text, "").expect_err(text).to_string();
            assert!(refused.contains("1 to 52"), "{refused}");
        }
        assert!(Prefix::new("shop.eu", ".").is_ok());
        assert!(Prefix::new("{chat}:eu.1", ".:{}").is_ok());
        for text in [".a", "a.", "a..b", "."] {
            assert!(Prefix::new(text, ".").is_err(), "{text}");
        }
    }

    #[test]
    fn a_channel_tells_its_lane_and_fits_a_name_of_63_bytes() {
        let prefix = Prefix::new(&"p_1-".repeat(13), "").expect("a prefix");
        for lane in [Lane(0), Lane(7), Lane(u32::MAX - 1), Lane::JSON] {
            let channel = prefix.channel('_', lane);
            assert!(channel.len() <= 63, "{channel}");
            assert_eq!(prefix.lane('_', &channel), Some(lane));
        }
        for other in ["midplane:0", "p_1-_0", "", "midplane_x", "midplane"] {
            assert_eq!(Prefix::default().lane('_', other), None, "{other}");
        }
    }
}
