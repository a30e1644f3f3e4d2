//! Pumps a connection into a WebSocket or an SSE body, for any server and any runtime.
//!
//! # Guarantees
//!
//! What waits in the mailbox is written before the goodbye. A client is closed with a [code](Close) that says why: the
//! connection's end, silence, the application's word, or the server's going. Pings are asked for between what is written,
//! and the patience for an answer begins when the ping has left. A client that reads slowly is no silent one: a client that
//! takes something of what waits, at 4 KiB/s or faster, stays. When the plane drains, each client is told within the plane's
//! [spread](midplane::Plane::spread), so that all do not come back at once, and [`spread`] and [`return_after`] say what is fit; the last thing
//! before the close says [when to come back](Outgoing::ReturnAfter).
//!
//! # Map
//!
//! [`Session`] serves a WebSocket of any library, which a [`Dialect`] names the messages of, with the application's task
//! beside. [`Pump`] is what it writes: for who writes it by other means. [`Close`] is why either ends, and [`Frame`] an item as
//! a message; [`closing`] is one that says when to come back. [`EventStream`] gives the blocks of an SSE body, and [`Patience`] bounds how long a client takes nothing. None
//! knows a library of either protocol or a runtime, and all wait by a [`Timer`](midplane::Timer) alone.

mod alive;
mod apart;
mod close;
mod draining;
mod event_stream;
mod frame;
mod patience;
mod pump;
mod session;

pub use alive::Alive;
pub use close::Close;
pub use draining::{return_after, spread};
pub use event_stream::{EventStream, block};
pub use frame::{Frame, closing, frame};
pub use patience::{Patience, TookNothing};
pub use pump::{Outgoing, Pump, PumpSettings};
pub use session::{Dialect, Incoming, Requests, Session};
