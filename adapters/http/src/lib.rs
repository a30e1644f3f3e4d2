//! Pumps a connection into a WebSocket or an SSE body, for any server and any runtime.
//!
//! # Guarantees
//!
//! What waits in the mailbox is written before the goodbye. A client is closed with a [code](Close) that says why: the
//! connection's end, silence, the application's word, or the server's going. Pings are asked for between what is written,
//! and the patience for an answer begins when the ping has left. When the plane drains, each client is told within the
//! plane's [spread](midplane::Plane::spread), so that all do not come back at once.
//!
//! # Map
//!
//! [`Session`] serves a WebSocket of any library, which a [`Dialect`] names the messages of, with the application's task
//! beside. [`Pump`] is what it writes: for who writes it by other means. [`Close`] is why either ends, and [`Frame`] an item as
//! a message. [`EventStream`] gives the blocks of an SSE body, and [`Patience`] bounds how long a client takes nothing. None
//! knows a library of either protocol or a runtime, and all wait by a [`Timer`](midplane::Timer) alone.

mod close;
mod draining;
mod event_stream;
mod frame;
mod patience;
mod pump;
mod session;

pub use close::Close;
pub use event_stream::{EventStream, block};
pub use frame::{Frame, frame};
pub use patience::{Patience, TookNothing};
pub use pump::{Alive, Outgoing, Pump, PumpSettings};
pub use session::{Dialect, Incoming, Requests, Session};
