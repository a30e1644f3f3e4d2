//! The store of completions inside one process.

mod groups;
mod history;
mod ledger;
mod producer;
mod state;
mod work;

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midplane_completions::{Follower, GroupName, Timestamp};
use midplane_core::Timer;
use parking_lot::Mutex;

pub use producer::MemoryTransaction;
use state::StoreState;

/// The records of the history that are kept, unless [`MemoryStore::with_retention`] says otherwise.
const RETENTION: usize = 100_000;

/// Executions, the history of their completions and the record of what was handled, in one process: the
/// reference for every other backend. A store is a [`Journal`](midplane_completions::Journal), a
/// [`Producer`](midplane_completions::Producer), a [`Ledger`](midplane_completions::Ledger) and has
/// [`Groups`](midplane_completions::Groups); [`backend`](Self::backend) subscribes. Clones share one store.
///
/// ```
/// use std::sync::Arc;
///
/// use futures::StreamExt;
/// use midplane::completions::MemoryStore;
/// use midplane::completions::{CompletionBackend, Execution, ExecutionId, StreamItem, Producer};
///
/// # #[cfg(feature = "threads")]
/// # futures::executor::block_on(async {
/// let store = MemoryStore::new(Arc::new(midplane::threads::Timer::new()));
/// let backend: Arc<dyn CompletionBackend> = Arc::new(store.backend());
/// let mut stream = backend.subscribe_completions().await?;
///
/// let producer: Arc<dyn Producer> = Arc::new(store);
/// let job = ExecutionId::new("job")?;
/// producer.start(&Execution::new(job.clone())).await?;
/// producer.complete(&job, Some("done".into())).await?;
///
/// let Some(StreamItem::Completion(completion)) = stream.next().await else { panic!("a completion") };
/// assert_eq!(completion.execution, job);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Mapping
///
/// One lock makes every call one step. A cursor is the number of a record; the history has no gaps. An execution that
/// finishes is listed for every group at once.
///
/// # Limits
///
/// The last 100,000 records of the history are kept, see [`with_retention`](Self::with_retention). An
/// execution is kept while a group has not handled it, and after that as long as its record is. Bytes have no
/// bound of their own.
///
/// # What happens on disconnect
///
/// Nothing disconnects by itself. [`cut`](Self::cut) and [`block`](Self::block) do, for tests of what is
/// built on a store.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<SharedStore>,
    /// The group whose ledger this is; `None` for the one without a name.
    group: Option<GroupName>,
}

struct SharedStore {
    state: Mutex<StoreState>,
    timer: Arc<dyn Timer>,
    /// The number that tells cursors of this store from those of others.
    number: u64,
}

impl MemoryStore {
    /// An empty store. Its leases and pauses are measured by this clock.
    #[must_use]
    pub fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            shared: Arc::new_cyclic(|shared: &Weak<SharedStore>| SharedStore {
                state: Mutex::new(StoreState::new(RETENTION)),
                timer,
                // Two stores of one process differ by their address while both live, and those of
                // different times by the time.
                number: now().as_micros() ^ ((shared.as_ptr().addr() as u64) << 20),
            }),
            group: None,
        }
    }

    /// Keeps at most this many records of the history from now on.
    #[must_use]
    pub fn with_retention(self, records: usize) -> Self {
        self.shared.state.lock().set_retention(records);
        self
    }

    /// The backend that subscribes to this store, by the store's own clock.
    #[must_use]
    pub fn backend(&self) -> Follower {
        Follower::new(Arc::new(self.clone()), Arc::clone(&self.shared.timer))
    }

    /// Ends every connection, as a server that restarts does.
    pub fn cut(&self) {
        let connections = self.shared.state.lock().take_connections();
        connections.iter().for_each(|connection| connection.end());
    }

    /// Ends every connection of a backend and refuses new ones until [`unblock`](Self::unblock). Producers
    /// and the ledger are not affected.
    pub fn block(&self) {
        self.shared.state.lock().blocked = true;
        self.cut();
    }

    /// Lets backends connect again.
    pub fn unblock(&self) {
        self.shared.state.lock().blocked = false;
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state.lock().connections()
    }

    /// Drops the whole history, which expires every cursor but those at its end.
    pub fn trim(&self) {
        self.shared.state.lock().trim(0);
    }

    /// Drops the records of the history that are older than `age`, by the time of day, and the handled executions among them:
    /// cursors from before the last of them are expired. A finish can be repeated for at least the age; what a group has not
    /// handled stays, unless it is older than the group [keeps](midplane_completions::Group::keep) it.
    pub fn prune(&self, age: Duration) {
        let now = now();
        let mut state = self.shared.state.lock();
        state.give_up(now);
        state.prune(before(now, age));
    }

    /// Puts a record into the history that is no completion, for this reason.
    pub fn poison(&self, reason: &str) {
        let woken = self.shared.state.lock().append(Err(reason.to_owned()));
        woken.iter().for_each(|connection| connection.wake());
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// The time this long before another.
fn before(time: Timestamp, age: Duration) -> Timestamp {
    let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(time.as_micros().saturating_sub(age))
}

/// The time of day; before 1970 it is always 1970.
fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
