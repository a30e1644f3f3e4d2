//! A connection backplane: two replicas that publish to each other's connections, in fifteen lines.
//!
//! A service attaches each live connection (a WebSocket, an SSE stream, a closure), associates it with targets, and any
//! code on any node publishes to a target. Every connection in it, on every node, gets the event once, **or is told that
//! it may have missed something**.
//!
//! ```no_run
//! use futures::StreamExt;
//! use midplane::{Plane, Target};
//!
//! # async fn program() -> Result<(), midplane::Error> {
//! let plane = Plane::connect("redis://localhost").await?; // live when it returns
//! let mut phone = plane.attach(); // a fresh id, and a mailbox
//! phone.associate(Target::topic("engines")).await?; // events of every node come
//! let receipt = plane.publish(Target::topic("engines")?, "it turns");
//! assert_eq!(receipt.accepted(), 1);
//! while let Some(item) = phone.next().await {
//!     println!("{item:?}"); // Event, of which `as_text` has the content | Lost(n) | Missed
//! }
//! plane.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! Those of [`midplane_core`], for programs with threads. A connection gets each event at most once, in the order in which
//! one handle published it. What was queued for other nodes and is not given to a connection there is told to it in its
//! place, as [`Item::Missed`]; what came faster than it was read, as [`Item::Lost`]. Memory is bounded. Panics of closures
//! are caught, so that one costs its own connection alone (where the program is not built with `panic = "abort"`).
//!
//! [`Plane::connect`] returns a plane that is live, or says what to do: a runtime that does not fit is an error there, and
//! not a panic in a task later. A driver that ends all the same is [`State::Stopped`], a [`Notice`], and a refusal in every
//! [`Receipt`].
//!
//! # Map
//!
//! [`Plane`] is what services hold, [`Connection`] what the task of one client reads, [`Handle`] what changes it from
//! elsewhere. [`connect`] has the URLs and the environment, [`runtime`] what planes run on; the features `tokio`, `smol` and
//! `threads` bring modules of those names, only add, and none is chosen for the program. `redis`, `nats` and `postgres`
//! bring the buses, and `tls` its encryption. `json` brings [events of values](mod@json) and external publishers, `tracing` the
//! log (NATS's driver has lines of its own, with its server's words as they stand: keep the target `async_nats` at warnings),
//! [`metrics`] the text for Prometheus, `completions` the module of that name.
//!
//! Below is the core, all of it under [`midplane::core`](midplane_core), the ids of each kind of target in [`id`]: [`Backplane`] is what a plane is over, [`Cluster`] and
//! [`Local`] the two there are, with this crate's lock and host in place, and [`mailbox`] the queue between a sink and its
//! reader. [`Std`] is the host and [`Memory`] the bus between the nodes of one process.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
#[cfg(any(feature = "tokio", feature = "smol", feature = "threads"))]
mod clock;
#[cfg(feature = "completions")]
pub mod completions;
pub mod connect;
mod connection;
mod drain;
mod error;
mod fresh;
mod host;
pub mod id;
mod into;
#[cfg(feature = "json")]
pub mod json;
mod lock;
#[cfg(feature = "tracing")]
mod log;
pub mod mailbox;
mod mailboxes;
mod memory;
#[cfg(feature = "metrics")]
pub mod metrics;
mod plane;
pub mod runtime;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(feature = "threads")]
pub mod threads;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(not(feature = "tracing"))]
mod unlogged;

#[cfg(not(feature = "tracing"))]
use unlogged as log;

pub use builder::Builder;
pub use connect::{BusKind, ConnectError};
pub use connection::{Associate, AttachOptions, Connection, Handle, Item};
pub use drain::Hold;
pub use error::Error;
pub use fresh::{fresh_node_id, process_name};
pub use host::{Cluster, ClusterBuilder, Local, Registry, Std};
pub use into::{IntoAudience, IntoEvent, IntoTarget};
#[cfg(feature = "json")]
pub use json::event as json;
pub use lock::Lock;
#[cfg(feature = "tracing")]
pub use log::log_notice;
pub use memory::Memory;
pub use midplane_core as core;
pub use midplane_core::{
    Answer, Answers, Ask, AssociateError, Attachment, Audience, Backoff, Backplane, ConnectionEnd,
    ConnectionId, Event, EventKey, IdError, Instant, LaneMap, Missed, NotUtf8, Notice, Random,
    Reach, Receipt, Refusal, Relay, Runtime, Scope, Sink, State, Status, Target, Timer, Verdict,
    bus, envelope, node,
};
pub use plane::{Closed, Plane};
pub use runtime::RuntimeError;

/// The programs of the README and the guides, held to compile and run.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/CORE.md")]
    struct Core;
    #[cfg(all(feature = "completions", feature = "threads"))]
    #[doc = include_str!("../../docs/COMPLETIONS.md")]
    struct Completions;
    #[doc = include_str!("../../docs/guides/broadcast.md")]
    struct Broadcast;
    #[doc = include_str!("../../docs/guides/bus.md")]
    struct ChoosingABus;
    #[doc = include_str!("../../docs/guides/missed.md")]
    struct WhatAMissedMeans;
    #[doc = include_str!("../../docs/guides/redis.md")]
    struct Redis;
    #[doc = include_str!("../../docs/guides/no_std.md")]
    struct NoStd;
}
