//! A frame: its header, and the messages behind it.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::error::{DecodeError, EncodeError};
use super::field::{append, micros, put_bytes, take_bytes};
use super::message::{self, Encoded, Message};
use super::signature::{FrameKey, SIGNATURE, SIGNED, Signatures, TAG};
use crate::node_id::NodeId;
use crate::receipt::TooLarge;

/// The frame version that this release writes and reads.
pub const VERSION: u8 = 2;

/// The most bytes that a frame takes beside its messages, its signature among them.
pub const HEADER: usize = 2 + 16 + 5 + 4 * 10 + SIGNATURE;

/// What stands before the messages of a frame. Times are counted in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The node that sent the frame.
    pub origin: NodeId,
    /// The lane that the frame was sent on.
    pub lane: u32,
    /// The sequence number of the first message that has one; the others follow in a row.
    pub first: u64,
    /// When the frame was made, on the origin's clock. No two frames of an origin have one stamp, but for the parts of one
    /// that the bus did not take, and a later frame has a later one.
    pub stamp: Duration,
    /// How long before the stamp the last number before `first` was used; the whole stamp if none was.
    pub before: Duration,
    /// How long the oldest message of the frame had waited when the frame was made.
    pub waited: Duration,
}

impl Header {
    /// The header of a frame that was made at the origin's first moment, with nothing before it.
    #[must_use]
    pub const fn new(origin: NodeId, lane: u32, first: u64) -> Self {
        Self {
            origin,
            lane,
            first,
            stamp: Duration::ZERO,
            before: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let times = (micros(self.stamp), micros(self.before), micros(self.waited));
        append(bytes, &(self.origin, self.lane, self.first, times));
    }

    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (fields, rest) = postcard::take_from_bytes(bytes).map_err(|error| failure(&error))?;
        let (origin, lane, first, (stamp, before, waited)) = fields;
        let header = Self {
            origin,
            lane,
            first,
            stamp: Duration::from_micros(stamp),
            before: Duration::from_micros(before),
            waited: Duration::from_micros(waited),
        };
        Ok((header, rest))
    }
}

/// Writes one frame, message by message, up to a limit in bytes.
#[derive(Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    limit: usize,
    next: Option<u64>,
    messages: usize,
    numbered: u64,
    /// What signs the frame.
    key: Option<FrameKey>,
}

impl FrameWriter {
    /// An empty frame of at most `limit` bytes.
    ///
    /// # Errors
    /// When the header alone is larger than the limit; [`HEADER`] bytes always hold it.
    pub fn new(header: Header, limit: usize) -> Result<Self, EncodeError> {
        Self::with_capacity(header, limit, HEADER, None)
    }

    /// An empty frame with room for `capacity` bytes, so that no more is reserved than is written. The first key of
    /// `signatures` signs it, where there are any.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_capacity(
        header: Header,
        limit: usize,
        capacity: usize,
        signatures: Option<&Signatures>,
    ) -> Result<Self, EncodeError> {
        let mut buffer = Vec::with_capacity(capacity.min(limit));
        let key = signatures.and_then(Signatures::first);
        match &key {
            Some(key) => buffer.extend_from_slice(&[VERSION, SIGNED, key.id()]),
            None => buffer.extend_from_slice(&[VERSION, 0]),
        }
        header.write(&mut buffer);
        let bytes = buffer.len() + key.as_ref().map_or(0, |_| TAG);
        if bytes > limit {
            return Err(TooLarge { bytes, limit }.into());
        }
        Ok(Self {
            bytes: buffer,
            limit,
            next: Some(header.first),
            messages: 0,
            numbered: 0,
            key,
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
        let numbered = message::is_numbered(message.bytes());
        let next = match (numbered, self.next) {
            (true, None) => return Err(EncodeError::SequenceExhausted),
            (true, Some(next)) => next.checked_add(1),
            (false, next) => next,
        };
        let before = self.bytes.len();
        put_bytes(&mut self.bytes, message.bytes());
        let bytes = self.bytes.len() + self.key.as_ref().map_or(0, |_| TAG);
        if bytes > self.limit {
            self.bytes.truncate(before);
            let limit = self.limit;
            return Err(TooLarge { bytes, limit }.into());
        }
        self.next = next;
        self.messages += 1;
        self.numbered += u64::from(numbered);
        Ok(())
    }

    /// How many bytes the frame has room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// How many messages the frame holds.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// How many of the messages have a sequence number.
    #[must_use]
    pub fn numbered(&self) -> u64 {
        self.numbered
    }

    /// The frame.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        if let Some(key) = self.key {
            key.sign(&mut self.bytes);
        }
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
    /// Reads the header of a frame of at most `limit` bytes, whose signature [was verified](Signatures::verify) or does not
    /// matter.
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
            [VERSION, flags, rest @ ..] => {
                let rest = match flags & SIGNED {
                    0 => rest,
                    _ => unsigned(rest).ok_or(DecodeError::Truncated)?,
                };
                let (header, rest) = Header::read(rest)?;
                Ok(Decoded::Frame(Self {
                    header,
                    messages: bytes.slice_ref(rest),
                    size: bytes.len(),
                }))
            }
            [version, ..] => Ok(Decoded::UnknownVersion(*version)),
        }
    }

    /// The header of the frame.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The size of the whole frame, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many sequence numbers the frame uses, up to the largest there is.
    #[must_use]
    pub fn numbered(&self) -> u64 {
        let numbers = self.raw().filter(|(number, _)| number.is_some());
        let most = (u64::MAX - self.header.first).saturating_add(1);
        (numbers.count() as u64).min(most)
    }

    /// The messages, each with its sequence number if messages of its kind have one.
    ///
    /// A message that cannot be read is an error and the next is read behind it; where its end is not
    /// known, the error is the last item, and has a number.
    pub fn messages(&self) -> impl Iterator<Item = (Option<u64>, Result<Message, DecodeError>)> {
        self.raw().map(|(number, message)| {
            let message = message.and_then(|raw| message::read(&self.messages, self.size, raw));
            (number, message)
        })
    }

    /// The messages in bytes.
    fn raw(&self) -> impl Iterator<Item = (Option<u64>, Result<&[u8], DecodeError>)> {
        let mut rest: &[u8] = &self.messages;
        let mut next = Some(self.header.first);
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let message = take_bytes(&mut rest);
            if let Ok(message) = message
                && !message::is_numbered(message)
            {
                return Some((None, Ok(message)));
            }
            let Some(number) = next else {
                rest = &[];
                return Some((Some(u64::MAX), Err(DecodeError::SequenceExhausted)));
            };
            next = number.checked_add(1);
            if message.is_err() {
                rest = &[];
            }
            Some((Some(number), message))
        })
    }
}

/// What stands between the id of the key and the tag.
fn unsigned(bytes: &[u8]) -> Option<&[u8]> {
    let (_key, rest) = bytes.split_first()?;
    let (rest, _tag) = rest.split_last_chunk::<TAG>()?;
    Some(rest)
}

fn failure(error: &postcard::Error) -> DecodeError {
    match error {
        postcard::Error::DeserializeUnexpectedEnd => DecodeError::Truncated,
        _ => DecodeError::Malformed,
    }
}
