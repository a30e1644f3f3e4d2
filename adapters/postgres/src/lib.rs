//! A midplane bus over LISTEN and NOTIFY of Postgres, and a store of completions in its tables.
//!
//! This page is about the bus, for teams whose only server is Postgres: the slowest of the buses, with the smallest
//! frames; read its [limits](#limits) first. With the feature `completions`, `PostgresStore` keeps completions in
//! tables and says how.
//!
//! ```no_run
//! use midplane_core::bus::{Bus, Lane, Outbound};
//! use midplane_postgres::Postgres;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Postgres::new("postgres://user:password@localhost/shop")?.with_prefix("chat")?;
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
//! - Lane 3 is the channel `midplane_3`, where `midplane` is the [prefix](Postgres::with_prefix). Channels belong to a
//!   database: nodes that are to reach each other connect to the same one. No table is touched, and any user who may
//!   connect may notify and listen. External publishers notify `midplane_json`, where nodes listen there; what
//!   they say is the payload as it stands.
//! - A frame is the payload of one `NOTIFY`: a colon, then the base64 (without padding) of one byte and the frame.
//!   The byte numbers the frames of a transaction, since two equal payloads in one would arrive as one. A payload
//!   that is not so made arrives as its text.
//! - One link is one connection, which both listens and notifies. Frames that are sent together, up to 256, share
//!   a transaction; sending returns when it is committed, with `synchronous_commit` off.
//! - Several hosts are tried in the order given, and the first primary is taken: a standby knows no `LISTEN`.
//! - The URL is that of libpq, or its keys and values; a parameter that is not supported is refused by its name. Timeouts
//!   and keepalives are ignored; the cluster sets its own deadlines.
//!
//! # Limits
//!
//! - **A frame has at most 5,997 bytes**, since a payload has less than 8,000 and is text. It cannot be raised. An
//!   event that does not fit is refused where it is published.
//! - **Notifying is serialised**: each transaction that notifies takes a lock over the whole server until it is
//!   committed, so they queue behind each other, those of your application included, and each wakes every listening
//!   link of the database. On two cores, one sender and one reader: 2,000 to 7,000 frames a second sent one by one,
//!   45,000 to 130,000 sent by the hundred. More nodes share that; they do not add to it. Their heartbeats alone wake
//!   every link of every other: 200 nodes that shared two cores with the server were kept live by heartbeats of
//!   5 s, and not by those of 2 s.
//! - **TLS is the feature `tls`.** Without it a URL that demands TLS is refused, and with `sslmode=prefer`, the default,
//!   the connection is in the clear. With it, `sslmode` and `sslrootcert` in the URL mean what they do to libpq:
//!   `prefer` takes TLS where the server has it; `require` demands it, which keeps out listeners, but no impostor
//!   of the server; `verify-ca` demands a certificate signed by one of `sslrootcert`, a PEM file that is read for each
//!   link, or of the system's without it; and `verify-full` demands the host's name in it as well: take that one
//!   over any network you do not own. The login is bound to the TLS channel where the server offers that, and
//!   `channel_binding=require` demands it. Not supported are certificates of the client, and `allow`.
//! - A pooler that gives each transaction or statement another connection, such as `PgBouncer` in those modes, cannot
//!   listen: a link through it is refused, with its address and what to change. It is looked for where the server says
//!   another address of itself than the one connected to, by a second connection that lasts for three transactions, 2 s
//!   at most; a pooler that is so busy that none comes in this time passes. One that keeps a connection for each session
//!   will do.
//! - What is not read stays with the server, whose queue of notifications, 8 GB for all listeners together, ends where
//!   the slowest listener is; once it is full, nobody can notify. Its backend reads that queue in a transaction, so vacuum
//!   of the whole database waits for it too. A link therefore takes in whatever comes each time it is polled, and holds up to
//!   16 MiB of it, see [`Postgres::with_queue`]; past that the link is over. A node that stands still, stopped by a signal,
//!   say, loses its connection when it has read nothing for 10 s (`tcp_user_timeout`, which a link sets for itself; not
//!   over a socket of the system, nor before Postgres 12).
//! - A commit that waits for the lock of `NOTIFY` is given up by the server after 5 s (`lock_timeout`), and within 1 s when
//!   its node has dropped the link (`client_connection_check_interval`, since Postgres 14, where the server's system tells),
//!   so that a node has at most a few backends waiting, however long somebody keeps that lock.
//!
//! # What happens on disconnect
//!
//! The link ends at once, its stream with an error of the kind `Unreachable`, also when an administrator ends it
//! (`pg_terminate_backend`) or the server shuts down. What others notify meanwhile is gone: Postgres keeps nothing for
//! a client that is not connected. A statement in flight may or may not have been committed. What was sent before is with
//! the server. A connection that is half open is noticed by the cluster's heartbeat alone.
//!
//! # Where it runs
//!
//! On any executor, and on plain threads: a link has no task, and moves on when one of its halves is polled. The
//! driver, `tokio-postgres`, speaks over a socket of `async-io`, whose reactor is one thread that the process shares;
//! names of hosts are resolved on threads of `blocking`.
//!
//! # Map
//!
//! As every adapter: `settings`, `url`, `tls` (`no_tls` without it), `link`, `error`. Peculiar to Postgres: the URL's
//! `parameters`; the `login` over a `socket` and the `driver`'s connection that comes of it; the `pooler` that may stand
//! before the server; the `encryption` that a URL asks for, and the `verifier` of certificates; frames as the `payload` of a
//! notification; and the store of `completions`.

mod error;
mod link;
mod settings;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod url;

#[cfg(feature = "completions")]
mod completions;
mod driver;
mod encryption;
mod login;
mod parameters;
mod payload;
mod pooler;
mod socket;
#[cfg(feature = "tls")]
mod verifier;

#[cfg(feature = "completions")]
pub use completions::{
    PostgresConnect, PostgresConnection, PostgresStatements, PostgresStore, Pruned, StatementError,
    StatementParameter, StatementRow,
};
pub use midplane_core::bus::SettingsError;
pub use settings::Postgres;
