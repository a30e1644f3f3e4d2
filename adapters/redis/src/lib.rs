//! A midplane bus, and a store of completions, over Redis and Valkey.
//!
//! ```no_run
//! use midplane_core::bus::{Bus, Lane, Outbound};
//! use midplane_redis::Redis;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Redis::new("redis://:hunter2@localhost:6379")?.with_prefix("chat")?;
//! let mut link = bus.connect().await?;
//! link.transmit.subscribe(&[Lane(0)]).await?;
//! let frame = "any bytes".into();
//! link.transmit.send(&[Outbound { lane: Lane(0), frame, echo: true }]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Redis`] is the bus, of which the rest of this page speaks. With the feature `completions`, `RedisStore`
//! keeps completions on the same server and says how.
//!
//! # Mapping
//!
//! Lane 7 is the channel `midplane:7`; the prefix is [`with_prefix`](Redis::with_prefix)'s. Channels are not
//! divided by database, so services that share a server need different prefixes, whatever number their
//! URLs end with. A frame is one PUBLISH, its bytes unchanged. External publishers publish on
//! `midplane:json`, where nodes listen there.
//!
//! A link is two connections: one that is subscribed, and one that publishes in pipelines, so that
//! neither's traffic holds the other's up. Both speak RESP3, because there the driver hands each message to
//! the adapter as it comes, and the adapter bounds what waits; the driver's RESP2 subscriber queues without bound. So
//! the server is Redis 6 or newer, or any Valkey, and the user needs `HELLO`, `SUBSCRIBE`, `UNSUBSCRIBE` and `PUBLISH`
//! with the channels: `ACL SETUSER chat on >secret resetchannels &chat:* +hello +subscribe +unsubscribe
//! +publish`. With `+info` a node can say which server it is connected to, by its run id.
//!
//! On a **cluster**, `redis+cluster://user:password@host:6379,host:6379` (or `rediss`, `valkey` or `valkeys`
//! before the plus), channels are sharded: each belongs to the shard that owns its slot, so lanes are spread over
//! the shards and a frame costs one of them alone. A link has the two connections to each shard on which it
//! uses a lane, opened when it first does, and one to the node that named the shards. Each link asks another one of
//! the nodes in the URL first. A prefix with braces in it, such as `{chat}`, puts all lanes on one shard. The
//! nodes are Redis 7 or newer, or any Valkey, and the user needs `+hello +cluster|slots +ssubscribe +sunsubscribe
//! +spublish` on each of them. External publishers say `SPUBLISH midplane:json` there. Without `+cluster`, one node of
//! a cluster is used as a lone server: its cluster broadcasts channels to all nodes, and nothing is followed when that
//! node fails.
//!
//! With **Sentinels**, `redis+sentinel://user:password@host:26379,host:26379/name`, each link asks all of
//! them for the master of that name, 2 s at most. Those that answer must agree: one that was cut off from the others names
//! the old master, and while they differ no link is made, with both answers in the error. The credentials are the master's; a Sentinel that
//! demands some of its own is not supported.
//!
//! # Limits
//!
//! Frames of at most 512 KiB, which [`with_frame_limit`](Redis::with_frame_limit) changes. At most 16 MiB
//! wait in a link, which [`with_queue`](Redis::with_queue) changes; a link that would hold more yields what
//! it has and ends with [`Overflow`](midplane_core::bus::BusErrorKind::Overflow). The server has a limit of
//! its own, `client-output-buffer-limit pubsub` (32 MiB, or 8 MiB for a minute), and disconnects a client that lags
//! by more.
//!
//! A shard that is cut off from the rest of its cluster, but not from this node, keeps its subscribers until it
//! notices, after the cluster's node timeout: what is published meanwhile at its successor is missed here, as over
//! any gap.
//!
//! With the feature `tls`, `rediss://` and `valkeys://` are TLS by rustls, against the certificates of the
//! system or `with_root_certificate`'s; certificates of the client are not supported. Where the program
//! chose no cryptography for rustls, the first connect chooses ring for it.
//!
//! # What happens on disconnect
//!
//! If a connection that is subscribed is lost, the link is dead, and so it is if one is lost that publishes, while it
//! does; one that is lost while it has nothing to carry (a server's `timeout` ends those) is opened anew when it has. The stream yields what arrived before, an error, and
//! its end. A link is dead, too, when PUBLISH answers that a frame on a lane that the link is subscribed to has no
//! receiver, for then its own subscription is gone; when a cluster gives the slot of one of its lanes to
//! another shard, of which the old owner notifies its subscribers; and when a lone server or the Sentinels' master became
//! a replica. Such a server keeps its subscribers and serves them, apart from those at the new master, so it is asked
//! (by `HELLO`) when a link is opened and with what is sent, once a second at most.
//!
//! The next link finds out anew who the master is, or who owns the slots. The driver's reconnection is not used,
//! nor are its timeouts, nor its cluster client: a server that is stalled or half-open holds a call until the caller
//! drops it. What was sent but not answered when the connection broke may have been published or not; it is not sent
//! again.
//!
//! # Where it runs
//!
//! On the runtime that the driver, `redis`, is compiled for, by feature: `tokio` (the default), `smol`, or both. With
//! `tokio` a link runs as tasks on the tokio runtime that is current where it is opened (I/O and time must be enabled).
//! With `smol` it runs on smol's global executor, threads that the process shares, and works on any other executor and
//! on plain threads too. With both, a link that is opened on tokio runs there, and every other one on smol's executor.
//! With `tokio` alone, a link that is opened outside of tokio is an error which says so. A program with one of the two
//! compiles nothing of the other's reactor.
//!
//! # Map
//!
//! As every adapter: `settings`, `url`, `tls` (`no_tls` without it), `link`, `error`. Peculiar to Redis: `runtime`,
//! one `server`, the `topology` of several and their `slots`, the `sentinel`s that name a master, the `pushes` that the driver
//! hands over, and the store of `completions` with the `owner` of its keys.

#[cfg(not(any(feature = "smol", feature = "tokio")))]
compile_error!(
    "midplane-redis runs on tokio or on smol: enable its feature `tokio`, its feature `smol`, or both"
);

mod error;
mod link;
mod settings;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod url;

#[cfg(feature = "completions")]
mod completions;
#[cfg(feature = "completions")]
mod owner;
mod pushes;
mod runtime;
mod sentinel;
mod server;
mod slots;
mod topology;

#[cfg(feature = "completions")]
pub use completions::{Pruned, RedisConnect, RedisConnection, RedisPushes, RedisStore};
pub use midplane_core::bus::SettingsError;
pub use settings::Redis;
