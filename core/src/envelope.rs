//! How messages look between nodes: frame version 1.
//!
//! ```text
//! frame    version:u8 = 1 | flags:u8 = 0 | header | message*
//! header   origin:[u8; 16] | lane:varint32 | first:varint64      (first: sequence of message 0)
//! message  length:varint32 | kind:u8 | body                      (length: of kind and body)
//! publish  kind 1: scope | text | key? | targets | except | payload
//! ```
//!
//! Fields are [postcard](https://postcard.jamesmunns.com/wire-format); a reader ignores flags it does
//! not know. Size is checked first, then the version, then the rest. A frame of another version and a
//! message of another kind are values, not errors, so releases that differ by one can share a bus.
//! Encodings are not canonical: two unequal byte strings may mean the same.
//!
//! ```
//! use midplane_core::envelope::{Decoded, Frame, FrameWriter, Header, Message, NodeId};
//! use midplane_core::{Event, Scope, Target};
//!
//! let header = Header { origin: NodeId([7; 16]), lane: 0, first: 41 };
//! let mut writer = FrameWriter::new(header, 1 << 20);
//! writer.push(&Message::Publish {
//!     scope: Scope::default(),
//!     audience: Target::topic("news")?.into(),
//!     event: Event::text("hello"),
//! })?;
//!
//! let Decoded::Frame(frame) = Frame::decode(&writer.finish(), 1 << 20)? else { panic!("version") };
//! let (sequence, message) = frame.messages().next().expect("one was written");
//! assert_eq!(sequence, 41);
//! assert!(matches!(message?, Message::Publish { event, .. } if event == Event::text("hello")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::audience::Audience;
use crate::event::Event;
use crate::target::{ConnectionId, EventKey, Kind, Scope, Target};

/// The version this release writes and reads.
pub const VERSION: u8 = 1;

const PUBLISH: u8 = 1;

/// One start of one process: sequences and clocks are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub [u8; 16]);

/// What stands before the messages of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who sent the frame.
    pub origin: NodeId,
    /// The lane it was sent on.
    pub lane: u32,
    /// The sequence number of the first message; the others follow in a row.
    pub first: u64,
}

/// One message of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// An event for an audience.
    Publish {
        /// The scope of the audience.
        scope: Scope,
        /// Whom the event is for.
        audience: Audience,
        /// The event.
        event: Event,
    },
    /// A kind that this release does not know, to be counted and skipped.
    Unknown {
        /// The number of the kind.
        kind: u8,
        /// What follows it.
        body: Bytes,
    },
}

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
        }
    }
}

impl core::error::Error for EncodeError {}

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
    /// A message of a known kind does not have the form of its kind.
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
            Self::Malformed => f.write_str("the message does not have the form of its kind"),
            Self::SequenceExhausted => {
                f.write_str("the frame's sequence numbers run past the largest")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

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
    #[must_use]
    pub fn new(header: Header, limit: usize) -> Self {
        let mut bytes = Vec::from([VERSION, 0]);
        append(&mut bytes, &header);
        Self {
            bytes,
            limit,
            next: Some(header.first),
            messages: 0,
        }
    }

    /// Appends a message.
    ///
    /// # Errors
    /// When the frame would grow past its limit, or its sequence numbers past the largest. The frame
    /// is as it was.
    pub fn push(&mut self, message: &Message) -> Result<(), EncodeError> {
        let next = self.next.ok_or(EncodeError::SequenceExhausted)?;
        let mut body = Vec::new();
        match message {
            Message::Publish {
                scope,
                audience,
                event,
            } => {
                body.push(PUBLISH);
                append_publish(&mut body, scope, audience, event);
            }
            Message::Unknown {
                kind,
                body: unknown,
            } => {
                body.push(*kind);
                body.extend_from_slice(unknown);
            }
        }
        let before = self.bytes.len();
        append(&mut self.bytes, &serde_bytes::Bytes::new(&body));
        if self.bytes.len() > self.limit {
            let bytes = self.bytes.len();
            self.bytes.truncate(before);
            return Err(EncodeError::TooLarge {
                bytes,
                limit: self.limit,
            });
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

/// What a reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// A frame of the version this release reads.
    Frame(Frame),
    /// A frame of another version, to be counted and skipped.
    UnknownVersion(u8),
}

/// A frame whose header is read; its messages are read as they are asked for, payloads uncopied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    header: Header,
    messages: Bytes,
}

impl Frame {
    /// Reads the header of a frame of at most `limit` bytes.
    ///
    /// # Errors
    /// When the frame is larger than the limit or ends within its header.
    pub fn decode(bytes: &Bytes, limit: usize) -> Result<Decoded, DecodeError> {
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        match &**bytes {
            [] | [VERSION] => Err(DecodeError::Truncated),
            [VERSION, _flags, rest @ ..] => {
                let (header, rest) =
                    postcard::take_from_bytes(rest).map_err(|_| DecodeError::Truncated)?;
                Ok(Decoded::Frame(Self {
                    header,
                    messages: bytes.slice_ref(rest),
                }))
            }
            [version, ..] => Ok(Decoded::UnknownVersion(*version)),
        }
    }

    /// Who sent it, where, and from which sequence number on.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The messages with their sequence numbers.
    ///
    /// A message that cannot be read is an error and the next is read behind it; where its end is not
    /// known, the error is the last item.
    pub fn messages(&self) -> impl Iterator<Item = (u64, Result<Message, DecodeError>)> {
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
            match postcard::take_from_bytes::<&[u8]>(rest) {
                Ok((message, tail)) => {
                    rest = tail;
                    Some((sequence, self.message(message)))
                }
                Err(_) => {
                    rest = &[];
                    Some((sequence, Err(DecodeError::Truncated)))
                }
            }
        })
    }

    fn message(&self, message: &[u8]) -> Result<Message, DecodeError> {
        match message {
            [PUBLISH, body @ ..] => self.publish(body).ok_or(DecodeError::Malformed),
            [kind, body @ ..] => Ok(Message::Unknown {
                kind: *kind,
                body: self.messages.slice_ref(body),
            }),
            [] => Err(DecodeError::Malformed),
        }
    }

    fn publish(&self, body: &[u8]) -> Option<Message> {
        let mut reader = Reader(body);
        let scope = Scope::from_bytes(reader.take()?)?;
        let text: bool = reader.take()?;
        let key = match reader.take::<Option<&str>>()? {
            Some(key) => Some(EventKey::new(key).ok()?),
            None => None,
        };
        let targets: u32 = reader.take()?;
        let mut audience: Option<Audience> = None;
        // The lists are read item by item: a count is only a claim, and nothing is reserved for it.
        for _ in 0..targets {
            let (kind, id) = reader.take::<(u8, &str)>()?;
            let target = Target::new(Kind::from_number(kind)?, id).ok()?;
            audience = Some(match audience {
                Some(audience) => audience.or(target),
                None => target.into(),
            });
        }
        let mut audience = audience?;
        for _ in 0..reader.take::<u32>()? {
            audience = audience.except(ConnectionId::new(reader.take::<&str>()?).ok()?);
        }
        let payload = self.messages.slice_ref(reader.take::<&[u8]>()?);
        if !reader.0.is_empty() {
            return None;
        }
        let event = if text {
            Event::from_utf8(payload).ok()?
        } else {
            Event::binary(payload)
        };
        let event = match key {
            Some(key) => event.keyed(key),
            None => event,
        };
        Some(Message::Publish {
            scope,
            audience,
            event,
        })
    }
}

/// Takes one postcard value after the other off a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }
}

fn append_publish(bytes: &mut Vec<u8>, scope: &Scope, audience: &Audience, event: &Event) {
    append(bytes, &serde_bytes::Bytes::new(scope.as_bytes()));
    append(bytes, &event.is_text());
    append(bytes, &event.key().map(EventKey::as_str));
    append(bytes, &audience.targets().count());
    for target in audience.targets() {
        append(bytes, &(target.kind() as u8, target.id()));
    }
    append(bytes, &audience.excluded().len());
    for connection in audience.excluded() {
        append(bytes, &connection.as_str());
    }
    append(bytes, &serde_bytes::Bytes::new(event.bytes()));
}

/// Every value written here has a known length and the buffer grows: the two things postcard could
/// refuse do not occur.
fn append(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let written = postcard::to_extend(value, core::mem::take(bytes));
    debug_assert!(written.is_ok(), "postcard refused a plain value");
    *bytes = written.unwrap_or_default();
}
