//! The core of midplane: the connections of a process, the targets they joined, and the fan-out to them.
//!
//! `no_std` with `alloc`, no `unsafe`, no features. It knows no async runtime, no socket and no clock;
//! where it needs one, the host passes it in through a seam: [`Host`] for the lock and the containment
//! of panics, [`Timer`] for time, [`Runtime`] to spawn too. Programs with std depend on the `midplane` crate, which provides
//! both and re-exports everything here.
//!
//! ```
//! use midplane_core::{Backplane, ConnectionId, Event, Local, SingleThread, Sink, Target};
//!
//! # type Lock = midplane::Lock;
//! # futures::executor::block_on(async {
//! // The host of a program with one thread and the lock `Lock`.
//! let plane = Local::<SingleThread<Lock>>::new();
//! let phone = plane.attach(
//!     ConnectionId::new("phone")?,
//!     Sink::new(|event: &Event| assert_eq!(event.as_text(), Some("hello"))),
//! );
//! phone.associate(&Target::topic("greetings")?).await?;
//!
//! let receipt = plane.publish(&Target::topic("greetings")?.into(), &Event::text("hello"));
//! assert_eq!(usize::from(receipt), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Guarantees
//!
//! - A connection's sink is called at most once per published event, however many of the event's
//!   targets it is in.
//! - After [`Attachment::detach`] no publish that begins finds the connection. When the future it
//!   returned is ready, no sink call runs or will start and what the sink captured is dropped.
//! - Two events published one after the other through one handle reach a connection in that order.
//! - Sinks run outside every lock and may call anything here. One that panics is detached and the
//!   others are served, where the host catches panics.
//! - Everything that waits is bounded, and everything dropped is counted by reason.
//!
//! # Map
//!
//! [`Target`], [`Scope`] and [`Audience`] name the connections that an [`Event`] is for; a [`Sink`] takes it, often into
//! a [`mailbox`]. A [`Registry`] knows the connections of one process. A [`Backplane`] is what services
//! program against: [`Local`] is the registry alone, [`Cluster`] joins it to other nodes by a [`bus`],
//! with the protocol of [`node`] and the wire of [`envelope`], driven by the [`Driver`] future that the host
//! spawns. [`Ask`] has the questions to all nodes.
//!
//! Nothing here ever depends on a crate that carries frames, and nothing outside `envelope` knows a byte of
//! the wire.

#![no_std]
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ask;
mod audience;
mod backoff;
mod backplane;
pub mod bus;
mod cluster;
pub mod envelope;
mod event;
mod host;
mod id;
mod lane_map;
mod local;
pub mod mailbox;
mod member;
mod missed;
pub mod node;
mod node_id;
mod notice;
mod question;
mod random;
mod receipt;
mod registry;
mod runtime;
mod status;
mod target;
mod time;

pub use ask::Ask;
pub use audience::Audience;
pub use backoff::Backoff;
pub use backplane::Backplane;
pub use cluster::{Cluster, ClusterBuilder, Driver, ExternalEvent};
pub use event::{Event, NotUtf8};
pub use host::{Host, Panicked, SingleThread};
pub use id::{IdError, IdText, MAX_ID_BYTES, check_id};
pub use lane_map::LaneMap;
pub use local::Local;
pub use member::{
    AgreedSetting, AgreedSettings, Difference, KeyIds, KnownNode, Reason, SigningMode,
    SigningSettings,
};
pub use missed::{Missed, MissedLanes};
pub use notice::{DroppedFrames, Incident, Notice};
pub use question::{Answer, Answers, Question};
pub use random::Random;
pub use receipt::{
    CloseReport, Delivered, FlushError, Receipt, Refusal, Relay, State, TooLarge, TooMany,
};
pub use registry::{
    Associate, AssociateError, Attachment, ConnectionEnd, DEFAULT_TARGETS_PER_CONNECTION, Detach,
    Drops, Reach, Registry, Sink, Verdict,
};
pub use runtime::Runtime;
pub use status::{ExternalCounts, MissedCounts, RefusalCounts, Status};
pub use target::{
    AgentId, ConnectionId, EventKey, Kind, OrgId, ParseTargetError, Scope, SessionId, Target,
    TopicId, UserId,
};
pub use time::{Instant, Timer};
