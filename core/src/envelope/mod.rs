//! How messages look between nodes: frame version 1.
//!
//! ```text
//! frame    version:u8 = 1 | flags:u8 = 0 | header | message*
//! header   origin:[u8; 16] | lane:varint32 | first:varint64      (first: sequence of message 0)
//! message  length:varint32 | kind:u8 | body                      (length: of kind and body)
//! publish  kind 1: scope | text | key? | targets | except | payload
//! heartbeat kind 2: version | hello | sent:varint64 in us | earlier* in us | (lane, last*)*
//! stamp    kind 3: sent:varint64 in us of the origin's clock
//! question kind 4: id:varint64 | kind:u8 | scope | targets | except | target? | event?
//!          kind: 1 count, 2 disconnect, 3 associate, 4 dissociate, 5 publish; event: text | key? | payload
//! answer   kind 5: to:[u8; 16] | id:varint64 | kind:u8 | counts
//!          kind: 1 connections; 2 accepted, full, closed, panicked; each varint64
//! goodbye  kind 6: nothing
//! ```
//!
//! Fields are [postcard](https://postcard.jamesmunns.com/wire-format); a reader ignores flags it does
//! not know. Size is checked first, then the version, then the rest. A frame of another version and a
//! message of another kind are values, not errors, so releases that differ by one can share a bus.
//! Encodings are not canonical: two unequal byte strings may mean the same.
//!
//! A heartbeat has as many last numbers of each lane as it names earlier heartbeats, and these rise. An
//! audience has at most [`MAX_AUDIENCE`] targets and as many exclusions.
//!
//! ```
//! use midplane_core::envelope::{Decoded, Frame, FrameWriter, Header, Message, NodeId};
//! use midplane_core::{Event, Scope, Target};
//!
//! let header = Header { origin: NodeId([7; 16]), lane: 0, first: 41 };
//! let mut writer = FrameWriter::new(header, 1 << 20)?;
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

mod error;
mod field;
mod frame;
mod message;
mod question;

pub use error::{DecodeError, EncodeError};
pub use frame::{Decoded, Frame, FrameWriter, Header, VERSION};
pub use message::{Encoded, Heartbeat, LaneProgress, Message};

pub use crate::audience::MAX_AUDIENCE;
pub use crate::node_id::NodeId;
