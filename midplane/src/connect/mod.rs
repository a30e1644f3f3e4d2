//! From a URL or the environment to a bus.
//!
//! ```
//! use midplane::Timer;
//! use midplane::connect::{ConnectError, Settings};
//!
//! # async fn open(timer: &dyn Timer) -> Result<(), ConnectError> {
//! match Settings::from_env()? {
//!     Some(settings) => {
//!         let bus = settings.open(timer).await?;
//!         println!("{bus:?} joins this node to the others");
//!     }
//!     None => println!("nothing is configured: a single node"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Mapping
//!
//! | URL | bus | feature |
//! |---|---|---|
//! | `memory:`, `memory:name` | the one inside this process: its own, or the one of this name | |
//! | `redis://`, `valkey://`, `unix://` | `midplane-redis` | `redis` |
//! | `rediss://`, `valkeys://` | `midplane-redis` with TLS | `redis` and `tls` |
//! | `redis+cluster://`, several hosts with commas between | `midplane-redis` over the shards of a cluster; `rediss`, `valkey` and `valkeys` too | `redis` |
//! | `redis+sentinel://`, several hosts with commas between, `/name` | `midplane-redis` on the master that the Sentinels name; `rediss`, `valkey` and `valkeys` too | `redis` |
//! | `nats://`, `tls://`, several with commas between | `midplane-nats`, by TLS where the server or `tls://` demands it | `nats` |
//! | `postgres://`, `postgresql://` | `midplane-postgres` | `postgres` |
//! | `postgres://`, `postgresql://`, with `sslmode=require` and above | `midplane-postgres` with TLS | `postgres` and `tls` |
//!
//! Redis and Valkey run on the runtime that a feature names, `tokio` or `smol`; with both, each link on
//! the one that fits where it is opened. NATS and Postgres run anywhere without a choice.
//!
//! What stands behind the scheme is the adapter's: each crate's documentation says what it takes. The case of the
//! scheme, and space around the URL, do not matter.
//!
//! The certificates that TLS trusts are the system's, or those in the PEM file that `SSL_CERT_FILE` names in the
//! environment. What a URL cannot say, such as a file of NATS credentials, is set on the adapter in the program.
//!
//! The environment is `MIDPLANE_BACKPLANE`, one of `memory`, `redis`, `valkey`, `nats` and `postgres` in any case;
//! `MIDPLANE_BACKPLANE_URL`, whose scheme must fit it; and `MIDPLANE_BACKPLANE_PREFIX`, what the channels' names start
//! with, for services that share a server. The URL may stand alone, for it says which bus it is of, and so may
//! `memory`. With neither set there is no backplane, which is a value and not a default: the program chooses.
//!
//! [`Plane::from_env`](crate::Plane::from_env) reads what else is set of a node, under the names that the example servers
//! have for it:
//!
//! | variable | what it sets |
//! |---|---|
//! | `MIDPLANE_NODE_NAME` | [`Builder::name`](crate::Builder::name) |
//! | `MIDPLANE_CLUSTER_NAME` | [`Builder::cluster_name`](crate::Builder::cluster_name) |
//! | `MIDPLANE_EXPECTED_MEMBERS` | [`Builder::expected_members`](crate::Builder::expected_members), 0 to 1024 |
//! | `MIDPLANE_BUS_KEY_FILE` | the file of the keys of [`Builder::signing`](crate::Builder::signing), as [`read_keys`] has it |
//! | `MIDPLANE_BUS_SIGNING` | `sign`, which keys without it mean, or `require` |
//!
//! All but the node's name are of a cluster: set without a backplane they are an error, but for 0 or 1 expected members.
//!
//! # Guarantees
//!
//! There is never a single node in silence. A setting that is unknown, empty, missing, not compiled in or that
//! contradicts another is an error; so is a server that refuses this node, or does not answer before the deadline, when
//! the bus is [opened](Settings::open). Each error says what failed, by which setting, and what to do, and none holds
//! the URL, which may hold a password.
//!
//! # Keys
//!
//! [`read_keys`] reads the keys by which the nodes of a cluster sign their frames
//! ([`Builder::signing`](crate::Builder::signing)). Its errors name the file and show nothing of a key.
//!
//! # Map
//!
//! [`Settings`] is what was set, [`BusKind`] the sorts of bus, [`ConnectError`] what goes wrong.

#[cfg(not(all(feature = "redis", feature = "nats", feature = "postgres")))]
mod absent;
mod error;
mod keys;
mod kind;
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod node_settings;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod settings;

#[cfg(not(feature = "nats"))]
use absent as nats;
#[cfg(not(feature = "postgres"))]
use absent as postgres;
#[cfg(not(feature = "redis"))]
use absent as redis;

pub use error::ConnectError;
pub use keys::{KeyFileError, read_keys};
pub use kind::BusKind;
pub(crate) use node_settings::NodeSettings;
pub use settings::Settings;
