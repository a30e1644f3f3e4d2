//! Completions: "this execution finished", as a stream that may fail over a record that may not.
//!
//! A workflow engine's [`Listener`] subscribes to a [`CompletionBackend`] for the executions that finish. The
//! stream is fast, and may miss completions: servers restart, connections die, histories are trimmed. So
//! every store also keeps a [`Ledger`] of what finished and was not handled, and what a listener handles it
//! takes from there: the result is the same with the stream working, lossy or dead.
//!
//! `no_std` with `alloc`, no `unsafe`, no features, on the seams of [`midplane_core`]: its clock, lock,
//! ids, random numbers and backoff. Programs with std use `midplane` with the feature `completions`, whose
//! module `midplane::completions` adds a host and a store in memory.
//!
//! # Why nothing here publishes
//!
//! There is no `publish_completion`, on purpose. A program that changed its tables and then published could
//! die between the two: the execution is finished and no listener learns of it. A program that published
//! and then committed could roll back: listeners handle what did not happen. So a completion is written by
//! the transaction that finishes the execution, in the store that keeps both, by procedures that the
//! backend ships. A [`Producer`] calls them for programs that need no transaction of their own.
//!
//! # Guarantees
//!
//! - Every committed completion is handled, with the stream working, lossy or dead; one that was rolled
//!   back never is. An execution is rarely handled twice.
//! - At most [`concurrency`](ListenerSettings::concurrency) handlers of a listener run at once, and those of one flow
//!   one after the other, in the order of its completions, over all listeners on the ledger.
//! - What waits is bounded, and a handler that panics, fails or hangs costs its own execution a try.
//! - A listener that cannot do its work says why, once for each incident ([`ListenerNotice`]).
//!
//! # Map
//!
//! A [`Completion`] arrives as an item of a [`CompletionStream`], beside notices ([`StreamItem`]); a [`Filter`]
//! chooses, a [`Cursor`] resumes. A durable backend implements [`Journal`], three calls to a history, and
//! [`Follower`] makes a stream of it that outlives connections. A [`Listener`] takes completions from the
//! [`Ledger`], calls the program's [`Handler`] and records the result; [`SharedStream`] serves many consumers
//! from one subscription. [`Groups`] are several ledgers of one store, each of which has everything handled. A [`Producer`]
//! starts and finishes executions.
//!
//! `midplane-completions-suite` holds a store to all of this in one line.

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

mod backend;
mod control;
mod cursor;
mod deadline;
mod dispatch;
mod error;
mod error_text;
mod filter;
mod follow;
mod group;
mod handler;
mod journal;
mod ledger;
mod listener;
mod notice;
mod payload;
mod producer;
mod report;
mod settings;
mod shared_stream;
mod stream;

pub use backend::{Capabilities, CompletionBackend};
pub use cursor::{Cursor, CursorError, MAX_POSITION_BYTES};
pub use error::{BackendError, BackendErrorKind, ProduceError, SubscribeError};
pub use error_text::ErrorText;
pub use filter::Filter;
pub use follow::{Follower, Pace};
pub use group::{Group, GroupName, GroupStart, GroupStatus, Groups};
pub use handler::{Attempt, Handled, Handler};
pub use journal::{Entry, Journal, JournalReader, Page, ReadError};
pub use ledger::{Claim, Ledger, Scan, Scanned, Settled, Take, Taken, Verdict};
pub use listener::{Listener, ListenerHandle};
pub use notice::{ListenerNotice, ListenerPart};
pub use payload::{
    Completion, ExecutionId, FlowId, Namespace, OtherOutcome, Outcome, Tag, Timestamp,
};
pub use producer::{Change, Execution, Producer};
pub use report::{Drained, ListenerCounters, ListenerStatus, ListenerTrouble, Reconciled};
pub use settings::ListenerSettings;
pub use shared_stream::SharedStream;
pub use stream::{CompletionStream, Payloads, Poison, StreamItem, Trouble};
