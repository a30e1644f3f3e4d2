//! The frames that a bus moves, and the limits on them.

use alloc::format;
use core::fmt;

use bytes::Bytes;

use super::error::{BusError, BusErrorKind};
use super::lane::Lane;

/// What a bus takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame, in bytes.
    pub frame: usize,
}

impl Limits {
    /// The limits of a bus whose largest frame has this many bytes.
    #[must_use]
    pub const fn new(frame: usize) -> Self {
        Self { frame }
    }

    /// Checks that each of these frames is within the limits. For adapters, before they send any of them.
    ///
    /// # Errors
    /// [`TooLarge`](BusErrorKind::TooLarge) when a frame is not.
    pub fn check(&self, frames: &[Outbound]) -> Result<(), BusError> {
        let (sizes, limit) = (
            frames.iter().map(|outbound| outbound.frame.len()),
            self.frame,
        );
        match sizes.max().filter(|size| *size > limit) {
            None => Ok(()),
            Some(size) => Err(BusError::new(
                BusErrorKind::TooLarge,
                format!(
                    "a frame of {size} bytes is larger than this bus's frame limit of {limit} bytes"
                ),
            )),
        }
    }
}

/// A frame to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The lane to send it on.
    pub lane: Lane,
    /// The bytes of the frame.
    pub frame: Bytes,
    /// Whether the sender receives the frame too, where it is subscribed to the lane. Of the others of its own a bus
    /// may bring it all or none.
    pub echo: bool,
}

/// A frame that arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The lane it arrived on.
    pub lane: Lane,
    /// The bytes of the frame, which anyone who can reach the bus may have made up.
    pub frame: Bytes,
}

macro_rules! debug_without_content {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("lane", &self.lane.0)
                    .field("bytes", &self.frame.len())
                    .finish()
            }
        }
    )+};
}

debug_without_content!(Outbound, Inbound);
