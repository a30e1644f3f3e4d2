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
//! [`Pump`] gives what is to be written to a WebSocket next, and [`Close`] is why it ends. [`EventStream`] gives the blocks of
//! an SSE body. Both are streams, know no socket and no library of either protocol, and wait by a [`Timer`](midplane::Timer)
//! alone.

mod close;
mod draining;
mod event_stream;
mod pump;

pub use close::Close;
pub use event_stream::{EventStream, block};
pub use pump::{Alive, Outgoing, Pump, PumpSettings};
