//! A connection backplane for programs with std.
//!
//! A service attaches each live connection, joins it to targets, and any code publishes to a target:
//! every connection in it gets the event once.
//!
//! ```
//! use std::sync::Arc;
//!
//! use midplane::mailbox::{Capacity, Item, Overflow};
//! use midplane::{Backplane, ConnectionId, Event, Local, Target, mailbox};
//!
//! async fn chat() -> Result<(), Box<dyn std::error::Error>> {
//!     let plane: Arc<dyn Backplane> = Arc::new(Local::new());
//!     let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
//!     let phone = plane.attach(ConnectionId::new("phone")?, sender.into_sink());
//!     phone.associate(&Target::user("ada")?).await?;
//!     phone.associate(&Target::topic("engines")?).await?;
//!
//!     let audience = midplane::Audience::from(Target::topic("engines")?).or(Target::user("ada")?);
//!     let receipt = plane.publish(&audience, &Event::text("it turns"));
//!     assert_eq!(receipt.local.accepted, 1); // in both targets, delivered once
//!
//!     let mut batch = Vec::new();
//!     receiver.batch(&mut batch, 64).await;
//!     assert_eq!(batch, [Item::Event(Event::text("it turns"))]);
//!     phone.detach().await; // from here on, no call runs and what the sink held is dropped
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The same function on three executors; the last is futures' thread pool, no runtime at all.
//! # #[cfg(feature = "tokio")]
//! tokio::runtime::Builder::new_current_thread().build()?.block_on(chat())?;
//! # #[cfg(feature = "smol")]
//! smol::block_on(chat())?;
//! # #[cfg(feature = "threads")]
//! futures::executor::block_on(chat())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! Those of [`midplane_core`], for programs with threads: panics of sinks are caught, so one sink's
//! panic costs that connection alone (where the program is not built with `panic = "abort"`).
//!
//! # Map
//!
//! Everything of [`midplane_core`] is re-exported; [`Registry`], [`Local`] and [`mailbox`] are named
//! here with this crate's lock and host in place. [`Std`] is the host and [`Memory`] the bus between the nodes of
//! one process. The feature `completions` adds the module of that name. With the features `tokio`, `smol` and `threads` come modules of those names, each with the same two items:
//! `spawn` and `Timer`. Features only add: all three can be on, and none is chosen for the program.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "tokio", feature = "smol", feature = "threads"))]
mod clock;
#[cfg(feature = "completions")]
pub mod completions;
pub mod connect;
mod host;
#[cfg(feature = "json")]
pub mod json;
mod lock;
pub mod mailbox;
mod memory;
mod node_id;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(feature = "threads")]
pub mod threads;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use host::{Cluster, ClusterBuilder, Local, Registry, Std};
pub use lock::Lock;
pub use memory::Memory;
pub use midplane_core::{
    AgentId, Answer, Answers, Ask, Associate, AssociateError, Attachment, Audience, Backoff,
    Backplane, CloseReport, ConnectionId, DEFAULT_TARGETS_PER_CONNECTION, Delivered, Detach,
    Driver, Drops, Event, EventKey, ExternalCounts, ExternalEvent, FlushError, Host, IdError,
    Incident, Instant, Kind, LaneMap, MAX_ID_BYTES, Missed, MissedCounts, MissedLanes, NotUtf8,
    Notice, OrgId, Panicked, ParseTargetError, Random, Reach, Receipt, Refusal, Relay, Scope,
    SessionId, Sink, State, Status, Target, Timer, TooLarge, TooMany, TopicId, UserId, Verdict,
    bus, envelope, node,
};
pub use node_id::fresh_node_id;

/// The example of the README, held to compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
