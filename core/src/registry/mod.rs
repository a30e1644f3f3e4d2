//! Who is connected here and what each joined.
//!
//! Shards of plain tables, each behind a lock held for one look-up or one change. A fan-out clones
//! the member set of its target under the lock, which is O(1), and calls the sinks with no lock held.
//!
//! One order keeps the locks from deadlock: that of a connection's home, then that of a room, and never
//! two of a kind.

mod answer;
mod connection;
mod fan_out;
mod key;
mod members;
mod table;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use hashbrown::DefaultHashBuilder;
use lock_api::{Mutex, MutexGuard};

pub use fan_out::{Delivered, Drops};

pub(crate) use connection::{Connection, Head, Latch, Member};
pub(crate) use key::KeyRef;

use crate::attachment::{AssociateError, Attachment, Hearing, Interest, Membership, Reach};
use crate::host::Host;
use crate::sink::Sink;
use crate::target::{ConnectionId, Scope, Target};
use connection::HostLatch;
use fan_out::DropCounters;
use key::Key;
use members::Removed;
use table::{Home, Homes, Rooms};

/// A power of two well above the cores that publish at once; an empty shard takes under 100 bytes.
const SHARDS: usize = 64;

/// How many targets one connection may be in unless [`Registry::with_limit`] says otherwise, beside
/// its own.
pub const DEFAULT_TARGETS_PER_CONNECTION: u32 = 1_024;

/// The connections of this process, the targets they joined, and the fan-out to them.
///
/// Most programs use it through [`Local`](crate::Local). It is generic over its [`Host`]; the
/// `midplane` crate names the alias for programs with std.
pub struct Registry<H: Host> {
    shards: Vec<Shard<H>>,
    hasher: DefaultHashBuilder,
    targets_per_connection: u32,
    closed: AtomicBool,
    drops: DropCounters,
    interest: Option<Arc<dyn Interest>>,
}

struct Shard<H: Host> {
    homes: Mutex<H::Mutex, Homes>,
    rooms: Mutex<H::Mutex, Rooms>,
}

impl<H: Host> Shard<H> {
    fn new() -> Self {
        Self {
            homes: Mutex::new(Homes::new()),
            rooms: Mutex::new(Rooms::new()),
        }
    }
}

impl<H: Host> Registry<H> {
    /// An empty registry in which a connection may be in [`DEFAULT_TARGETS_PER_CONNECTION`] targets.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_TARGETS_PER_CONNECTION)
    }

    /// An empty registry in which a connection may be in this many targets, beside its own.
    #[must_use]
    pub fn with_limit(targets_per_connection: u32) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            hasher: DefaultHashBuilder::default(),
            targets_per_connection,
            closed: AtomicBool::new(false),
            drops: DropCounters::default(),
            interest: None,
        }
    }

    /// The same, telling which targets have members.
    pub(crate) fn with_interest(mut self, interest: Arc<dyn Interest>) -> Self {
        self.interest = Some(interest);
        self
    }

    /// Attaches a connection and joins it to its own target.
    ///
    /// A connection that has the id is detached first; the new one inherits nothing from it. After
    /// [`close`](Self::close) the attachment is detached from the start and the sink is dropped.
    pub fn attach(self: &Arc<Self>, scope: &Scope, id: ConnectionId, sink: Sink) -> Attachment {
        let key = KeyRef::connection(scope, &id);
        let hash = key.hash(&self.hasher);
        let latch: Arc<dyn Latch> = Arc::new(HostLatch::<H>::new());
        let member = sink.into_member(Head::new(scope.clone(), id.clone()), latch.clone());
        let weak = Arc::downgrade(&member);
        self.came(key);
        let unwanted = {
            let mut homes = self.homes(hash);
            if self.closed.load(Ordering::Relaxed) {
                member.close();
                Some(Home {
                    member,
                    joined: Vec::new(),
                })
            } else {
                homes.attach(hash, member, &self.hasher)
            }
        };
        if let Some(home) = unwanted {
            self.clear(home);
        }
        let registry = Arc::downgrade(self);
        Attachment::new(registry, weak, latch, scope.clone(), id)
    }

    /// How many connections are attached. Each shard is read in turn, so the sum is of no one instant.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.homes.lock().len())
            .sum()
    }

    /// How many connections are in the target.
    #[must_use]
    pub fn members(&self, scope: &Scope, target: &Target) -> usize {
        let key = KeyRef::new(scope, target);
        let hash = key.hash(&self.hasher);
        match target {
            Target::Connection(_) => usize::from(self.homes(hash).connection(hash, key).is_some()),
            _ => self
                .rooms(hash)
                .members(hash, key)
                .map_or(0, members::Members::len),
        }
    }

    /// Detaches every connection, for good: whatever attaches later is detached at once.
    pub fn close(&self) {
        // An attach that read the flag before this line holds its shard's lock, and is found below.
        self.closed.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            let homes = shard.homes.lock().detach_all();
            homes.into_iter().for_each(|home| self.clear(home));
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn homes(&self, hash: u64) -> MutexGuard<'_, H::Mutex, Homes> {
        self.shard(hash).homes.lock()
    }

    fn rooms(&self, hash: u64) -> MutexGuard<'_, H::Mutex, Rooms> {
        self.shard(hash).rooms.lock()
    }

    fn shard(&self, hash: u64) -> &Shard<H> {
        // hashbrown takes the lowest bits for the place and the highest seven for the tag.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    fn home_hash(&self, member: &Member) -> u64 {
        member.key().hash(&self.hasher)
    }

    fn hearing(&self, key: KeyRef<'_>) -> Hearing {
        match &self.interest {
            Some(interest) => interest.hearing(key),
            None => Hearing::Known(Reach::Everywhere),
        }
    }

    /// Detaches the connection; false if it is detached.
    fn expel(&self, member: &Member) -> bool {
        let hash = self.home_hash(member);
        let home = self.homes(hash).detach(hash, member, &self.hasher);
        let attached = home.is_some();
        home.into_iter().for_each(|home| self.clear(home));
        attached
    }

    /// Takes a closed connection, already out of its home, out of every target it joined. No lock is
    /// held while the last reference drops, for what the closure captured may drop with it.
    fn clear(&self, home: Home) {
        for key in &home.joined {
            if self.leave(key, &home.member) {
                self.left(key.parts());
            }
        }
        self.left(home.member.key());
        self.dispose(home.member);
    }

    /// Drops what may be the last reference to a closure. A panic in what it captured is counted.
    fn dispose<T>(&self, value: T) {
        let mut value = Some(value);
        if H::contain(&mut || drop(value.take())).is_err() {
            self.drops.count_panic();
        }
    }

    /// Takes the connection out of the target; true if that leaves nobody there.
    fn leave(&self, key: &Key, member: &Member) -> bool {
        let hash = key.parts().hash(&self.hasher);
        let left = self
            .rooms(hash)
            .leave(hash, key.parts(), member, &self.hasher);
        left.is_some_and(|Removed { member, emptied }| {
            // Outside of the lock, for it may be the last reference.
            drop(member);
            emptied
        })
    }

    fn came(&self, key: KeyRef<'_>) {
        if let Some(interest) = &self.interest {
            interest.came(key);
        }
    }

    fn left(&self, key: KeyRef<'_>) {
        if let Some(interest) = &self.interest {
            interest.left(key);
        }
    }
}

impl<H: Host> Membership for Registry<H> {
    fn associate(
        &self,
        scope: &Scope,
        member: &Member,
        target: &Target,
    ) -> Result<Hearing, AssociateError> {
        if matches!(target, Target::Connection(_)) {
            return Err(AssociateError::Reserved);
        }
        let limit = self.targets_per_connection;
        let key = KeyRef::new(scope, target);
        let hash = key.hash(&self.hasher);
        let home_hash = self.home_hash(member);
        let mut homes = self.homes(home_hash);
        let home = homes
            .home(home_hash, member)
            .ok_or(AssociateError::Detached)?;
        if home.joined.len() >= limit as usize {
            let joined = home.joined.iter().any(|joined| joined.parts() == key);
            return if joined {
                Ok(self.hearing(key))
            } else {
                Err(AssociateError::TooMany { limit })
            };
        }
        let joined = self.rooms(hash).join(hash, key, member, &self.hasher);
        let first = joined.as_ref().is_some_and(|joined| joined.first);
        home.joined.extend(joined.map(|joined| joined.key));
        drop(homes);
        if first {
            self.came(key);
        }
        Ok(self.hearing(key))
    }

    fn dissociate(&self, scope: &Scope, member: &Member, target: &Target) -> bool {
        let parts = KeyRef::new(scope, target);
        let hash = self.home_hash(member);
        let mut homes = self.homes(hash);
        let Some(home) = homes.home(hash, member) else {
            return false;
        };
        let Some(at) = home.joined.iter().position(|key| key.parts() == parts) else {
            return false;
        };
        let key = home.joined.swap_remove(at);
        // The home keeps the connection, so nothing of it drops under the lock.
        let emptied = self.leave(&key, member);
        drop(homes);
        if emptied {
            self.left(key.parts());
        }
        true
    }

    fn is_in(&self, scope: &Scope, member: &Member, target: &Target) -> bool {
        let key = KeyRef::new(scope, target);
        let hash = self.home_hash(member);
        self.homes(hash)
            .home(hash, member)
            .is_some_and(|home| home.keys().any(|joined| joined == key))
    }

    fn targets(&self, member: &Member) -> Vec<Target> {
        let hash = self.home_hash(member);
        let mut homes = self.homes(hash);
        let home = homes.home(hash, member);
        home.map(|home| home.keys().filter_map(KeyRef::target).collect())
            .unwrap_or_default()
    }

    fn detach(&self, member: &Member) {
        self.expel(member);
    }

    fn dispose(&self, member: Member) {
        self.dispose(member);
    }
}

/// Whoever is still attached is detached: nobody can publish to it any more.
impl<H: Host> Drop for Registry<H> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<H: Host> Default for Registry<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Host> fmt::Debug for Registry<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("connections", &self.connections())
            .field("closed", &self.is_closed())
            .field("drops", &self.drops())
            .finish_non_exhaustive()
    }
}
