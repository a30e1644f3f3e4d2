//! The store of completions in a Redis or a Valkey.

mod connect;
mod connection;
mod error;
mod eviction;
mod groups;
mod history;
mod ledger;
mod library;
mod place;
mod producer;
mod reply;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use midplane_completions::{BackendError, Follower};
use midplane_core::Timer;
use midplane_core::bus::{Prefix, SettingsError};

use crate::Redis;
use crate::settings::ALSO;
pub use connect::{RedisConnect, RedisConnection, RedisPushes};
use connection::SharedConnection;
use library::Keys;

/// The deadline of a call, unless [`RedisStore::with_deadline`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// Executions, the history of their completions and the record of what was handled, in a Redis or a
/// Valkey, by a library of functions in the server. A store is a
/// [`Journal`](midplane_completions::Journal), a [`Producer`](midplane_completions::Producer) and
/// a [`Ledger`](midplane_completions::Ledger), and has other [`Groups`](midplane_completions::Groups);
/// [`backend`](Self::backend) subscribes. Clones share one connection for what they produce and settle, and so do the ledgers
/// of groups; each subscription has its own.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use midplane_core::Timer;
/// use midplane_completions::{CompletionBackend, Execution, ExecutionId, Producer};
/// use midplane_redis::{Redis, RedisStore};
///
/// # async fn run(timer: Arc<dyn Timer>) -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Redis::new("redis://:hunter2@localhost:6379")?.with_prefix("jobs")?;
/// let store = RedisStore::new(&redis, timer);
/// store.install().await?;
/// let backend: Arc<dyn CompletionBackend> = Arc::new(store.backend());
/// let stream = backend.subscribe_completions().await?;
///
/// let producer: Arc<dyn Producer> = Arc::new(store);
/// let job = ExecutionId::new("job")?;
/// producer.start(&Execution::new(job.clone())).await?;
/// producer.complete(&job, Some("done".into())).await?;
/// # drop(stream);
/// # Ok(())
/// # }
/// ```
///
/// # Mapping
///
/// A store is eight keys, `{midplane}:store`, `:executions`, `:history`, `:unhandled`, `:leases`, `:due`, `:flows` and
/// `:dead`, the prefix in the braces being that of [`Redis::with_prefix`]; a brace in it is written as `%7B` or `%7D`.
/// The braces put all of them in one slot of a cluster, and the id of an execution is never part of a key. A
/// [group](midplane_completions::Groups) has five keys more, those from `:unhandled` on with a colon and its name behind, such
/// as `{midplane}:unhandled:billing`.
///
/// What finishes is listed in the keys of a group when the group takes, 500 records of the history or 4 MiB at a time, or
/// when the record leaves the history, whichever is first. So a completion is written once, however many groups there are, and
/// groups cost no command: a finish that drops a record of the history looks whether each group has handled it, which is a few
/// microseconds of the server for a group that keeps up, and about 40 for one that is behind by the whole history. What an
/// operator takes out of the history with the server's own commands is found among the executions, each of which is looked at
/// then.
///
/// Finishing an execution is one call of a function: it changes the execution, appends to the history,
/// a stream, adds to what is unhandled, and publishes a wake-up on the channel that has the name of the
/// stream. The server runs it as one step. A program that has more to change finishes executions between
/// its own `MULTI` and `EXEC`, by [`finishing`](Self::finishing); what it discards never was. A function
/// that is refused changes nothing, but `EXEC` still does the rest of the transaction: Redis rolls nothing
/// back. The functions are called `midplane_complete_4`, `midplane_fail_4` and so on, and take the eight
/// keys in this order, the id and the bytes; the first words of their errors are `UNKNOWNEXECUTION`, `ILLEGALTRANSITION`,
/// `UNFITCOMPLETION`, `POISONEXECUTION`, `POISONGROUPS`, `UNKNOWNGROUP`, `NOSTORE` and `STOREVERSION`.
///
/// A subscription is one connection: it subscribes to the channel, and reads from its place when it is
/// woken and when [`Pace::poll`](midplane_completions::Pace::poll) is over. A filter is applied by
/// the server, to each entry. A program may open [all connections](RedisConnect) itself. A cursor is the number of an entry, which have no gaps, and a digest of the
/// history up to it. So entries that were trimmed are counted, by whatever they were trimmed; and a
/// history that is not the one of the cursor, as when a replica took over that had not got everything, or
/// when the database was flushed, is found out with the first read, even if its numbers are the same.
///
/// # Limits
///
/// Redis 7 or newer, or any Valkey. The bytes of a completion are 1 MiB at most, and a page about as much.
/// The last 100,000 records of the history are kept, see [`with_retention`](Self::with_retention), or all of a time, see
/// [`with_retention_age`](Self::with_retention_age). An execution is kept while a group has not handled it, and after that as long
/// as its record is: a finish may be repeated, as one that was so before, until 100,000 others have finished, which at 1,000 a
/// second is 100 s, or for at least the age; after that it is refused with `UNKNOWNEXECUTION`, and completes nothing a second
/// time. So set the age by how long producers repeat, and see that the memory has room for it. What is to be handled is
/// listed by when it is due and by flow, so taking it costs the same however much waits; a filter by tag looks at all that
/// is due in its namespaces. What a group has listed costs it 350 to 550 bytes of memory for each execution until it is
/// handled, with ids of 36 bytes; the execution itself is there once for all groups, and what is in the history and not yet
/// listed costs a group nothing. What a group has not handled for longer than its
/// [`keep`](midplane_completions::Group::keep) is given up by [`prune`](Self::prune), and bit by bit where completions drop
/// records of the history.
///
/// The user needs the keys and the channel, `FCALL`, `FCALL_RO`, `SUBSCRIBE`, `FUNCTION LOAD` unless an
/// operator did it, and what the functions call: `ACL SETUSER jobs on >secret resetkeys ~{jobs}:*
/// resetchannels &{jobs}:* +hello +subscribe +publish +fcall +fcall_ro +function|load +time +hmget +hget
/// +hset +hdel +hincrby +xadd +xlen +xrange +xtrim +xinfo|stream +zadd +zrem +zscore +zrange +zcard +hscan
/// +info`. Without `+info` nobody is told that the server evicts.
///
/// # What happens on disconnect
///
/// A subscription connects again, as [`Follower`] says, and goes on from its place. A call on the shared
/// connection that fails is made once more on a new one, since every call may be repeated, and then
/// fails; a [`Change`](midplane_completions::Change) may then say that what the first attempt made
/// was so before.
///
/// # What is durable
///
/// As much as the server is. With `appendonly yes` and `appendfsync always` a completion that was answered
/// survives a crash of the server; with `everysec` the last second may be gone, and without a file
/// everything is. Replication is asynchronous: a replica that takes over may lack the last completions
/// that were answered. The ledger is in the same server, so what is lost is lost to listeners too:
/// such an execution is running again, as far as the store knows, and its producer has to finish it once
/// more. Where that must not be, use Postgres.
///
/// The server must not evict: `maxmemory-policy noeviction`. Where `maxmemory` is set and the policy evicts any key,
/// [`install`](Self::install) is refused, and a stream yields
/// [`Trouble`](midplane_completions::StreamItem::Trouble), also when that is set while the stream runs: each subscription
/// looks every 10 s. A server that is full refuses to start and finish executions; what frees memory, handling and trimming,
/// goes on.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<SharedStore>,
    /// The keys of the group whose ledger this is; `None` for the group without a name.
    group: Option<Keys>,
}

/// What [`prune`](RedisStore::prune) removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Records of the history.
    pub records: u64,
    /// What groups had not handled and kept no longer: an execution counts once for each group that gave it up.
    pub given_up: u64,
}

struct SharedStore {
    connect: Arc<dyn RedisConnect>,
    keys: Keys,
    timer: Arc<dyn Timer>,
    /// How much of the history to keep, where this node sets that.
    retention: Option<Retention>,
    deadline: Duration,
    connection: SharedConnection,
}

/// How much of the history is kept.
#[derive(Debug, Clone, Copy)]
enum Retention {
    Records(usize),
    Age(Duration),
}

impl RedisStore {
    /// The store on the server of this bus, with its prefix and credentials, by this clock. Nothing is
    /// connected yet.
    #[must_use]
    pub fn new(redis: &Redis, timer: Arc<dyn Timer>) -> Self {
        Self::with_prefix(Arc::new(redis.clone()), &redis.prefix, timer)
    }

    /// The store with this prefix on the server that these connections of the program's own lead to. Nothing is connected
    /// yet.
    ///
    /// # Errors
    /// When the prefix is none that [`Redis::with_prefix`] takes.
    pub fn over(
        connect: Arc<dyn RedisConnect>,
        prefix: &str,
        timer: Arc<dyn Timer>,
    ) -> Result<Self, SettingsError> {
        let prefix = Prefix::new(prefix, ALSO)?;
        Ok(Self::with_prefix(connect, &prefix, timer))
    }

    fn with_prefix(connect: Arc<dyn RedisConnect>, prefix: &Prefix, timer: Arc<dyn Timer>) -> Self {
        Self {
            shared: Arc::new(SharedStore {
                keys: Keys::new(prefix.as_str()),
                connect,
                timer,
                retention: None,
                deadline: DEADLINE,
                connection: SharedConnection::default(),
            }),
            group: None,
        }
    }

    /// Keeps at most this many records of the history: 100,000 unless any node ever set it, or an
    /// [age](Self::with_retention_age). The number is the store's, and the node that connected last sets it.
    #[must_use]
    pub fn with_retention(self, records: usize) -> Self {
        self.with(|shared| shared.retention = Some(Retention::Records(records)))
    }

    /// Keeps each record of the history for at least this long, by the server's clock, and however many there are, in place of
    /// a [number](Self::with_retention) of them. So a finish may be repeated, as one that was so before, for at least the age,
    /// whatever the rate. With each completion two records go that are older; [`prune`](Self::prune) does the rest where
    /// little finishes. The age is the store's, and the node that connected last sets it.
    #[must_use]
    pub fn with_retention_age(self, age: Duration) -> Self {
        self.with(|shared| shared.retention = Some(Retention::Age(age)))
    }

    /// Gives the server this long for each answer; 5 s unless it is set.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        self.with(|shared| shared.deadline = deadline)
    }

    /// The backend that subscribes to this store, by its clock.
    #[must_use]
    pub fn backend(&self) -> Follower {
        Follower::new(Arc::new(self.clone()), Arc::clone(&self.shared.timer))
    }

    /// Loads the functions, of this version, and lays the store out, unless both was done. Every node may call
    /// this when it starts. Producers do so when they connect; a subscription does not, and is refused with [`NotInstalled`](midplane_completions::BackendErrorKind::NotInstalled) where
    /// nothing is installed.
    ///
    /// # Errors
    /// When the server is not reached, refuses, evicts keys when it is full, or holds a store of another version. Functions
    /// may have been loaded.
    pub async fn install(&self) -> Result<(), BackendError> {
        self.shared.install().await
    }

    /// Drops the oldest records of the history but for this many, as retention does, and gives how many were
    /// dropped: cursors before them are expired. What is not handled stays in the ledger. Retention needs no help;
    /// this is for operators.
    ///
    /// # Errors
    /// When the server does not answer. Some may have been dropped.
    pub async fn trim(&self, keep: usize) -> Result<u64, BackendError> {
        self.shared.trim(keep as u64).await
    }

    /// Drops the records of the history that are older than `age`, by the server's clock, and the handled executions among
    /// them, and says how much that was: cursors before the last of the records are expired. What a group has not handled
    /// stays, unless it finished longer ago than the group's [`keep`](midplane_completions::Group::keep).
    ///
    /// # Errors
    /// When the server does not answer. Some may have been dropped.
    pub async fn prune(&self, age: Duration) -> Result<Pruned, BackendError> {
        self.shared.prune(age).await
    }

    fn with(self, change: impl FnOnce(&mut SharedStore)) -> Self {
        let old = &self.shared;
        let mut shared = SharedStore {
            connect: Arc::clone(&old.connect),
            keys: old.keys.clone(),
            timer: Arc::clone(&old.timer),
            retention: old.retention,
            deadline: old.deadline,
            connection: SharedConnection::default(),
        };
        change(&mut shared);
        Self {
            shared: Arc::new(shared),
            group: self.group,
        }
    }

    /// The keys as the group uses them whose ledger this is.
    fn keys(&self) -> &Keys {
        self.group.as_ref().unwrap_or(&self.shared.keys)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("at", &self.shared.connect)
            .field("group", &self.group)
            .field("retention", &self.shared.retention)
            .field("deadline", &self.shared.deadline)
            .finish_non_exhaustive()
    }
}
