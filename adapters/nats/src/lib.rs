//! A midplane bus over NATS.
//!
//! ```no_run
//! use midplane_core::bus::{Bus, Lane, Outbound};
//! use midplane_nats::Nats;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Nats::new("nats://user:password@localhost:4222")?.with_prefix("chat")?;
//! let mut link = bus.connect().await?;
//! link.transmit.subscribe(&[Lane(0)]).await?;
//! let frame = "any bytes".into();
//! link.transmit.send(&[Outbound { lane: Lane(0), frame, echo: true }]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Mapping
//!
//! - Lane 3 is the subject `midplane.3`, where `midplane` is the [prefix](Nats::with_prefix); a frame is a message's
//!   payload. There is no `JetStream` and nothing is stored. It is tested on NATS 2.9. External publishers
//!   publish on `midplane.json`, where nodes listen there.
//! - A link has two connections, which `nats server report connections` calls `midplane` and `midplane relay`. The first
//!   subscribes to the lanes and publishes, without echo, so that a node does not receive its own events. What has to come
//!   back, the heartbeats, the first publishes on a subject of the link's own, such as `midplane.Xk3…`; the second is
//!   subscribed to that alone and publishes it on the lane. So a heartbeat that is back has proven both ways of both, and
//!   overtakes no event of its node but where the two are with two servers of a cluster.
//! - The user needs leave to publish and to subscribe to `midplane.*`, and to nothing else.
//! - A subscription counts when a message sent through it came back. So a link that subscribes to a lane, or is
//!   closed (on lane 0), sends that lane one empty message with a reply subject; nodes leave those alone.
//! - Several URLs with commas between them are the servers of one cluster; a link takes one of those that
//!   are named, in random order, for both connections. Servers that the cluster announces are not used. All take the same
//!   credentials. Where one name leads to several servers, the two may be with two of them, which must carry messages to each
//!   other: `connect` fails with the identities of both where they do not.
//! - `nats://` is encrypted if the server demands it, `tls://` always.
//! - Credentials in the URL are `user:password@` or `token@`, percent-encoded; [`Nats::with_credentials_file`] and
//!   [`Nats::with_nkey_seed`] are the others. A credentials file and certificates are read again for each link.
//!
//! # Limits
//!
//! - A frame has at most 1 MiB, NATS's own default for a message; see [`Nats::with_frame_limit`]. Where the server takes
//!   less (`max_payload`), that is the limit, and an event that does not fit is refused where it is published. A limit that
//!   is lowered while a link is open is found out by the first event that does not fit, which costs that event, and the
//!   link: the driver does not pass on what the server tells of it.
//! - Each node has two connections to count against `max_connections`, and what it sends to come back, some hundred bytes in
//!   each heartbeat, goes to the server and from it twice.
//! - Each lane is a subscription. A server that takes fewer than the lanes (`max_subscriptions`) leaves the node what it
//!   takes: an association that needs one more is refused with `AssociateError::BusFull`. A link that goes beyond 8
//!   subscriptions, and then beyond each power of two that is known to be taken, opens another connection for a moment to find
//!   out; the user must be allowed the subject `midplane.4294967294` for that, as `midplane.*` has it.
//! - What arrives and is not read is held up to 16 MiB, see [`Nats::with_queue`]; what is sent and not written,
//!   up to 48 frames on each connection, and up to 256 that have to come back wait for the second. A link whose reader falls further behind, here or in the server, is over.
//! - In a cluster, a subscription is proven to the server that we are connected to. Its peers learn of it
//!   a moment later, and what is sent through them meanwhile is missed, as over any gap.
//! - WebSocket connections to NATS are not supported.
//!
//! # What happens on disconnect
//!
//! The driver's own reconnection loses messages in silence, so it never gets to reconnect: the link ends
//! at once, whichever of its connections is gone, its stream with an error of the kind `Unreachable`, and the next link is a
//! fresh one. An error of the server
//! ends the link as well: `Denied` for credentials that expired and for subjects that are not permitted, `Overflow` for
//! a slow consumer. What was sent last may be lost, but for what was sent before a `close` that succeeded.
//!
//! The driver logs nothing of that as a warning or an error. At the level of information it logs an event of its own for
//! each connect and each loss, and what the server says as it stands: keep `async_nats` at the level of warnings.
//!
//! A connection that is half open, either of the two and either way, is noticed by a cluster: its heartbeats do not come
//! back. The driver pings a connection only while nothing arrives on it, and gives up one on which nothing at all arrives
//! after 15 s at most. Until then a link that was dropped may keep its sockets and its frames.
//!
//! # Where it runs
//!
//! On tokio, which the driver, `async-nats`, needs. Where a tokio runtime is current when a link is opened, the link
//! runs there (I/O and time must be enabled). Elsewhere, on smol say, it runs on one thread named `midplane-nats`,
//! which the process starts once and keeps.
//!
//! # Map
//!
//! As every adapter: `settings`, `url`, `tls`, `link`, `error`. Peculiar to NATS: the `runtime`, `dial`, which opens one
//! connection, the `arrivals` that the driver's tasks hand over, the `relay` by which frames come back, and the `trial` of how
//! many subscriptions a server takes.

mod error;
mod link;
mod settings;
mod tls;
mod url;

mod arrivals;
mod dial;
mod relay;
mod runtime;
mod trial;

pub use midplane_core::bus::SettingsError;
pub use settings::Nats;
