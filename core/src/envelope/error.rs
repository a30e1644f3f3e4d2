//! What can go wrong with a frame.

use core::fmt;

use super::MAX_AUDIENCE;

/// Why a message was not written. The frame is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame would grow past its limit. In an empty frame: the message never fits this bus.
    TooLarge {
        /// The size the frame would have, in bytes.
        bytes: usize,
        /// The frame's limit, in bytes.
        limit: usize,
    },
    /// The sequence numbers of this origin and lane are used up.
    SequenceExhausted,
    /// The audience has more than [`MAX_AUDIENCE`](super::MAX_AUDIENCE) targets or exclusions.
    TooMany {
        /// How many there are of what there is more of.
        count: usize,
    },
    /// [`Message::Unknown`](super::Message::Unknown) with a kind that this release knows.
    KnownKind(u8),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(
                    f,
                    "the frame would have {bytes} bytes, its limit is {limit}"
                )
            }
            Self::SequenceExhausted => f.write_str("the sequence numbers are used up"),
            Self::TooMany { count } => write!(
                f,
                "the audience lists {count} targets or exclusions, at most {MAX_AUDIENCE} are allowed"
            ),
            Self::KnownKind(kind) => {
                write!(f, "kind {kind} is known and cannot be written as unknown")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// The audience has more than [`MAX_AUDIENCE`](super::MAX_AUDIENCE) targets or exclusions to travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How many there are of what there is more of.
    pub count: usize,
}

impl From<TooMany> for EncodeError {
    fn from(TooMany { count }: TooMany) -> Self {
        Self::TooMany { count }
    }
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EncodeError::from(*self).fmt(f)
    }
}

impl core::error::Error for TooMany {}

/// Why bytes are not a frame, or a part of a frame is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is larger than the reader allows; nothing of it was read.
    TooLarge {
        /// The size of the frame, in bytes.
        bytes: usize,
        /// The reader's limit, in bytes.
        limit: usize,
    },
    /// The frame ends in the middle of something.
    Truncated,
    /// The header or a length is no number, or a message of a known kind does not have the form of its
    /// kind.
    Malformed,
    /// The sequence numbers of the frame run past the largest there is.
    SequenceExhausted,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(f, "the frame has {bytes} bytes, the limit is {limit}")
            }
            Self::Truncated => f.write_str("the frame ends too early"),
            Self::Malformed => f.write_str("the header or a message does not have its form"),
            Self::SequenceExhausted => {
                f.write_str("the frame's sequence numbers run past the largest")
            }
        }
    }
}

impl core::error::Error for DecodeError {}
