//! A midplane bus over Redis and Valkey.
//!
//! ```no_run
//! use midplane_core::bus::Bus;
//! use midplane_redis::Redis;
//!
//! # async fn open() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Redis::new("redis://:hunter2@localhost:6379")?.with_prefix("chat")?;
//! let session = bus.connect().await?;
//! # drop(session);
//! # Ok(())
//! # }
//! ```
//!
//! It needs no runtime of its own: within tokio it runs on that, and everywhere else, under smol or on
//! plain threads, on smol's global executor. Nothing is chosen for the program as a whole.
//!
//! # Mapping
//!
//! Lane 7 is the channel `midplane:7`; the prefix is [`with_prefix`](Redis::with_prefix)'s. Channels are not
//! divided by database, so services that share a server need different prefixes, whatever number their
//! URLs end with. A frame is one PUBLISH, its bytes unchanged.
//!
//! A session is two connections: one that is subscribed, and one that publishes in pipelines, so that
//! neither's traffic holds the other's up. Both speak RESP3, because there the driver hands each message to
//! us as it comes, and we bound what waits; its RESP2 subscriber queues without bound. So the server is
//! Redis 6 or newer, or any Valkey, and the user needs `HELLO`, `SUBSCRIBE`, `UNSUBSCRIBE` and `PUBLISH`
//! with the channels: `ACL SETUSER chat on >secret resetchannels &chat:* +hello +subscribe +unsubscribe
//! +publish`.
//!
//! # Limits
//!
//! Frames of at most 512 KiB, which [`with_frame_limit`](Redis::with_frame_limit) changes. At most 16 MiB
//! wait in a session, which [`with_queue`](Redis::with_queue) changes; one that would hold more yields what
//! it has and ends with [`Overflow`](midplane_core::bus::BusErrorKind::Overflow). The server has a limit of
//! its own, `client-output-buffer-limit pubsub` (32 MiB, or 8 MiB for a minute): it disconnects whoever
//! lags so far.
//!
//! Redis Cluster and Sentinel are not supported. Against one node of a cluster it works as the cluster
//! broadcasts channels, without following anything when that node fails; a Sentinel's address is not a
//! bus, and a master that was demoted keeps its subscribers, connected and deaf to what the new one hears.
//!
//! With the feature `tls`, `rediss://` and `valkeys://` are TLS by rustls, against the certificates of the
//! system or `with_root_certificate`'s; certificates of the client are not supported. Where the program
//! chose no cryptography for rustls, the first connect chooses ring for it.
//!
//! # What happens on disconnect
//!
//! If either connection is lost, the session is dead: the stream yields what arrived before, an error, and
//! its end. It is dead, too, when PUBLISH answers that nobody heard a frame on a lane that the session is
//! subscribed to, for then its own subscription is gone. The driver's reconnection is not used, nor are its
//! timeouts: a server that is stalled or half-open holds a call until the caller drops it. What was sent
//! but not answered when the connection broke may have been published or not; it is not sent again.

mod error;
mod pushes;
mod session;
mod settings;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;

pub use error::SettingsError;
pub use settings::Redis;
