//! A frame: its header, and the messages behind it.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::{DecodeError, EncodeError};
use super::field::{append, put_bytes, take_bytes};
use super::message::{self, Encoded, Heartbeat, Message};
use crate::node_id::NodeId;
use crate::receipt::TooLarge;

/// The frame version that this release writes and reads.
pub const VERSION: u8 = 1;

/// What stands before the messages of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The node that sent the frame.
    pub origin: NodeId,
    /// The lane that the frame was sent on.
    pub lane: u32,
    /// The sequence number of the first message; the others follow in a row.
    pub first: u64,
}

/// Writes one frame, message by message, up to a limit in bytes.
#[derive(Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    limit: usize,
    next: Option<u64>,
    messages: usize,
}

impl FrameWriter {
    /// An empty frame of at most `limit` bytes.
    ///
    /// # Errors
    /// When the header alone is larger than the limit; 33 bytes always hold it.
    pub fn new(header: Header, limit: usize) -> Result<Self, EncodeError> {
        let mut buffer = Vec::from([VERSION, 0]);
        append(&mut buffer, &header);
        let bytes = buffer.len();
        if bytes > limit {
            return Err(TooLarge { bytes, limit }.into());
        }
        Ok(Self {
            bytes: buffer,
            limit,
            next: Some(header.first),
            messages: 0,
        })
    }

    /// Appends a message.
    ///
    /// # Errors
    /// When the message cannot be written, the frame would grow past its limit, or its sequence numbers past
    /// the largest. The frame is as it was.
    pub fn push(&mut self, message: &Message) -> Result<(), EncodeError> {
        self.push_encoded(&message.encode()?)
    }

    /// Appends a message that was encoded before.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_encoded(&mut self, message: &Encoded) -> Result<(), EncodeError> {
        let next = self.next.ok_or(EncodeError::SequenceExhausted)?;
        let before = self.bytes.len();
        put_bytes(&mut self.bytes, message.bytes());
        if self.bytes.len() > self.limit {
            let bytes = self.bytes.len();
            self.bytes.truncate(before);
            let limit = self.limit;
            return Err(TooLarge { bytes, limit }.into());
        }
        self.next = next.checked_add(1);
        self.messages += 1;
        Ok(())
    }

    /// How many messages the frame holds.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// The frame.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }
}

/// The outcome of reading a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// A frame of the version this release reads.
    Frame(Frame),
    /// A frame of another version, to be counted and skipped.
    UnknownVersion(u8),
}

/// A frame whose header is read; its messages are read as they are asked for.
///
/// A payload of at least half of the frame shares the frame's memory. A smaller one is copied, so that an
/// event that is kept does not keep a frame much larger than itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    header: Header,
    messages: Bytes,
    /// The size of the whole frame, in bytes.
    size: usize,
}

impl Frame {
    /// Reads the header of a frame of at most `limit` bytes.
    ///
    /// # Errors
    /// When the frame is larger than the limit, ends within its header, or has a header that is none.
    pub fn decode(bytes: &Bytes, limit: usize) -> Result<Decoded, DecodeError> {
        if bytes.len() > limit {
            let bytes = bytes.len();
            return Err(DecodeError::TooLarge(TooLarge { bytes, limit }));
        }
        match &**bytes {
            [] | [VERSION] => Err(DecodeError::Truncated),
            [VERSION, _flags, rest @ ..] => {
                let (header, rest) =
                    postcard::take_from_bytes(rest).map_err(|error| failure(&error))?;
                Ok(Decoded::Frame(Self {
                    header,
                    messages: bytes.slice_ref(rest),
                    size: bytes.len(),
                }))
            }
            [version, ..] => Ok(Decoded::UnknownVersion(*version)),
        }
    }

    /// The origin of the frame, its lane and its first sequence number.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The messages with their sequence numbers.
    ///
    /// A message that cannot be read is an error and the next is read behind it; where its end is not
    /// known, the error is the last item.
    pub fn messages(&self) -> impl Iterator<Item = (u64, Result<Message, DecodeError>)> {
        self.raw().map(|(sequence, message)| {
            let message = message.and_then(|raw| message::read(&self.messages, self.size, raw));
            (sequence, message)
        })
    }

    /// The heartbeat of a frame that our own outbox wrote: it stands right behind the stamp. Nothing else is looked
    /// at, for a node receives all that it sends.
    pub(crate) fn own_heartbeat(&self) -> Option<Heartbeat> {
        let raw = self.raw().nth(1)?.1.ok()?;
        if raw.first() != Some(&message::HEARTBEAT) {
            return None;
        }
        match message::read(&self.messages, self.size, raw) {
            Ok(Message::Heartbeat(heartbeat)) => Some(heartbeat),
            _ => None,
        }
    }

    /// The messages in bytes.
    fn raw(&self) -> impl Iterator<Item = (u64, Result<&[u8], DecodeError>)> {
        let mut rest: &[u8] = &self.messages;
        let mut next = Some(self.header.first);
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let Some(sequence) = next else {
                rest = &[];
                return Some((u64::MAX, Err(DecodeError::SequenceExhausted)));
            };
            next = sequence.checked_add(1);
            let message = take_bytes(&mut rest);
            if message.is_err() {
                rest = &[];
            }
            Some((sequence, message))
        })
    }
}

fn failure(error: &postcard::Error) -> DecodeError {
    match error {
        postcard::Error::DeserializeUnexpectedEnd => DecodeError::Truncated,
        _ => DecodeError::Malformed,
    }
}
