//! What can go wrong with a frame.

use core::fmt;

use crate::receipt::{Refusal, TooLarge, TooMany};

/// Why a message was not written. The frame is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame would grow past its limit. In an empty frame: the message never fits this bus.
    TooLarge(TooLarge),
    /// The sequence numbers of this origin and lane are used up.
    SequenceExhausted,
    /// The audience has more than [`MAX_AUDIENCE`](super::MAX_AUDIENCE) targets or exclusions.
    TooMany(TooMany),
    /// [`Message::Unknown`](super::Message::Unknown) with a kind that this release knows.
    KnownKind(u8),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(reason) => reason.fmt(f),
            Self::SequenceExhausted => f.write_str("the sequence numbers are used up"),
            Self::TooMany(reason) => reason.fmt(f),
            Self::KnownKind(kind) => {
                write!(f, "kind {kind} is known and cannot be written as unknown")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

impl From<TooLarge> for EncodeError {
    fn from(reason: TooLarge) -> Self {
        Self::TooLarge(reason)
    }
}

impl From<TooMany> for EncodeError {
    fn from(reason: TooMany) -> Self {
        Self::TooMany(reason)
    }
}

impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::TooLarge(reason) => Self::TooLarge(reason),
            EncodeError::TooMany(reason) => Self::TooMany(reason),
            // A node writes no message of an unknown kind, and a message alone has no number.
            EncodeError::SequenceExhausted | EncodeError::KnownKind(_) => Self::Full,
        }
    }
}

/// Why bytes are not a frame, or a part of a frame is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame is larger than the reader allows; nothing of it was read.
    TooLarge(TooLarge),
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
            Self::TooLarge(reason) => reason.fmt(f),
            Self::Truncated => f.write_str("the frame ends too early"),
            Self::Malformed => f.write_str("the header or a message does not have its form"),
            Self::SequenceExhausted => {
                f.write_str("the frame's sequence numbers run past the largest")
            }
        }
    }
}

impl core::error::Error for DecodeError {}
