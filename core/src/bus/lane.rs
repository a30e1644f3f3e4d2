//! The channels that a bus is divided into.

use core::fmt;
use core::str::FromStr;

/// One of the numbered channels that a bus is divided into. Every node is subscribed to lane 0.
///
/// As text, which is how adapters put it behind their prefix, it is its number, and [`JSON`](Self::JSON) is
/// `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

impl Lane {
    /// Where programs that are no nodes publish, in a format of the host's, JSON by custom. Nodes send nothing
    /// on it, and are subscribed to it where they were [given a way to read it](crate::ClusterBuilder::with_external).
    pub const JSON: Self = Self(u32::MAX);
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::JSON => f.write_str("json"),
            Self(number) => number.fmt(f),
        }
    }
}

impl FromStr for Lane {
    type Err = ParseLaneError;

    fn from_str(text: &str) -> Result<Self, ParseLaneError> {
        if text == "json" {
            return Ok(Self::JSON);
        }
        let numbered = text.parse().ok().map(Self);
        numbered
            .filter(|lane| *lane != Self::JSON)
            .ok_or(ParseLaneError)
    }
}

/// A text names no lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseLaneError;

impl fmt::Display for ParseLaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a lane is a number below 4294967295, or json")
    }
}

impl core::error::Error for ParseLaneError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_lane_is_read_as_it_is_written() {
        for lane in [Lane(0), Lane(7), Lane(u32::MAX - 1), Lane::JSON] {
            assert_eq!(lane.to_string().parse(), Ok(lane));
        }
        for text in ["", "4294967295", "-1", "JSON", "7 "] {
            assert_eq!(text.parse::<Lane>(), Err(ParseLaneError), "{text:?}");
        }
    }
}
