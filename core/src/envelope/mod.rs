//! How messages look between nodes: frame version 2.
//!
//! ```text
//! frame    version:u8 = 2 | flags:u8 | key:u8? | header | message* | tag:[u8; 16]?
//!          flags: 1 signed, with a key and a tag; a key of 128 or more is one of another algorithm
//! header   origin:[u8; 16] | lane:varint32 | first:varint64 | stamp | before | waited
//! message  length:varint32 | kind:u8 | body                      (length: of kind and body)
//! publish  kind 1: scope | text | key? | targets | except | payload
//! confirm  kind 2: as a question of kind 5
//! withdrawn kind 3: nothing                                        (an event of this number is none that the bus takes)
//! heartbeat kind 128: version | flags:u8 | since | lane* | heard* | left*       (flags: 1 hello, 2 goodbye, 4 partial)
//!          lane: lane:varint32 | last:varint64 | at | keeps:varint64 | gone
//!          heard: node:[u8; 16] | stamp | ago;   left: node:[u8; 16] | ago | (lane, last, at)*
//! ask      kind 129: to:[u8; 16] | (lane, first, last, after)*
//! question kind 130: id:varint64 | kind:u8 | scope | targets | except | target? | event?
//!          kind: 1 count, 2 disconnect, 3 associate, 4 dissociate, 5 publish; event: text | key? | payload
//! answer   kind 131: to:[u8; 16] | id:varint64 | kind:u8 | counts
//!          kind: 1 connections; 2 accepted, full, closed, panicked; each varint64
//! introduction kind 132: flags:u8 | lanes:varint32 | heartbeat | time to live | name | cluster | broker | signing? |
//!          what later releases add                                              (flags: 1 JSON lane)
//!          signing: 0 off, 1 signs, 2 requires:u8 | ids of keys:u8*, the one that signs first
//! contact  kind 133: flags:u8 | rank:varint32 | lost:[u8; 16]* | asks:[u8; 16]* | what later releases add
//!                                                                              (flags: 1 ready, 2 more are lost, 4 blamed)
//! departures kind 134: (node:[u8; 16] | since)* | what later releases add     (of nodes that the heartbeat behind it names as left)
//! ```
//!
//! Times (stamp, before, waited, since, at, gone, ago, after) are varint64 in microseconds of the origin's clock.
//! Messages of kinds below 128 carry an event and are numbered in a row from `first` on; the others have no number,
//! so a node that does not know a kind misses an event only if the kind is below 128. A later release says more in kinds
//! of its own, or behind the last field of an introduction, a contact or departures.
//!
//! Fields are [postcard](https://postcard.jamesmunns.com/wire-format); a reader ignores flags it does
//! not know. Size is checked first, then the version, then the rest. A frame of another version and a
//! message of another kind are values, not errors, so releases that differ by one can share a bus.
//! Encodings are not canonical: two unequal byte strings may mean the same.
//!
//! An audience has at most [`MAX_AUDIENCE`] targets and as many exclusions.
//!
//! ```
//! use midplane_core::envelope::{Decoded, Frame, FrameWriter, Header, Message, NodeId};
//! use midplane_core::{Event, Scope, Target};
//!
//! let header = Header::new(NodeId([7; 16]), 0, 41);
//! let mut writer = FrameWriter::new(header, 1 << 20)?;
//! writer.push(&Message::Publish {
//!     scope: Scope::default(),
//!     audience: Target::topic("news")?.into(),
//!     event: Event::text("hello"),
//! })?;
//!
//! let Decoded::Frame(frame) = Frame::decode(&writer.finish(), 1 << 20)? else { panic!("version") };
//! let (number, message) = frame.messages().next().expect("one was written");
//! assert_eq!(number, Some(41));
//! assert!(matches!(message?, Message::Publish { event, .. } if event == Event::text("hello")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contact;
mod departures;
mod error;
mod field;
mod frame;
mod heartbeat;
mod introduction;
mod message;
mod parts;
mod question;
mod signature;

pub use contact::{Contact, MAX_CONTACT};
pub use departures::Departures;
pub use error::{DecodeError, EncodeError};
pub use frame::{Decoded, Frame, FrameWriter, HEADER, Header, VERSION};
pub use heartbeat::{Ask, AskedRun, Heard, Heartbeat, LaneProgress, Left, MAX_RUNS};
pub use introduction::{Introduction, MAX_BROKER, MAX_NAME};
pub use message::{Encoded, Message};
pub use signature::{SIGNATURE, Signatures, Unproven};

pub use crate::audience::MAX_AUDIENCE;
pub use crate::node_id::NodeId;
