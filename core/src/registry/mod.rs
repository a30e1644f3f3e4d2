//! The connections of this process, and the targets that each joined.
//!
//! Shards of plain tables, each behind a lock held for one look-up or one change. A fan-out clones
//! the member set of its target under the lock, which is O(1), and calls the sinks with no lock held.
//!
//! One order keeps the locks from deadlock: that of a connection entry, then that of a target entry, and never
//! two of a kind.

mod answer;
mod attachment;
mod connection;
mod end;
mod fan_out;
mod key;
mod members;
mod missed;
mod reports;
mod sink;
mod table;
mod verdict;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use hashbrown::DefaultHashBuilder;
use lock_api::{Mutex, MutexGuard};

pub use attachment::{Associate, AssociateError, Attachment, Detach, Reach};
pub use end::ConnectionEnd;
pub use fan_out::Drops;
pub use sink::Sink;
pub use verdict::Verdict;

pub(crate) use attachment::{ReachAnswer, TargetWatcher};
pub(crate) use fan_out::Tally;
pub(crate) use key::KeyRef;
pub(crate) use verdict::{Deliver, Taken};

use crate::event::Event;
use crate::host::Host;
use crate::receipt::Delivered;
use crate::target::{ConnectionId, Scope, Target};
use crate::time::Instant;
use attachment::Membership;
use connection::{Head, HostLatch, Latch, Member};
use fan_out::DropCounters;
use key::Key;
use members::Removed;
use reports::RecentReports;
use table::{ConnectionEntry, ConnectionTable, TargetTable};

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
    reports: Mutex<H::Mutex, RecentReports>,
    watcher: Option<Arc<dyn TargetWatcher>>,
}

struct Shard<H: Host> {
    connections: Mutex<H::Mutex, ConnectionTable>,
    targets: Mutex<H::Mutex, TargetTable>,
}

impl<H: Host> Shard<H> {
    fn new() -> Self {
        Self {
            connections: Mutex::new(ConnectionTable::new()),
            targets: Mutex::new(TargetTable::new()),
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
            reports: Mutex::new(RecentReports::default()),
            watcher: None,
        }
    }

    /// Adds a watcher of which targets have members.
    pub(crate) fn with_watcher(mut self, watcher: Arc<dyn TargetWatcher>) -> Self {
        self.watcher = Some(watcher);
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
        self.target_gained(key);
        let (weak, unwanted) = {
            let mut connections = self.connection_table(hash);
            // The time is read under the lock, so that who attached before a look at this table is seen there.
            let head = Head::new(scope.clone(), id.clone(), self.now());
            let entry = ConnectionEntry::new(sink.into_member(head, latch.clone()));
            let weak = Arc::downgrade(&entry.member);
            let unwanted = if self.closed.load(Ordering::Relaxed) {
                entry.member.close(ConnectionEnd::Closed);
                Some(entry)
            } else {
                connections.attach(hash, entry, &self.hasher)
            };
            (weak, unwanted)
        };
        if let Some(entry) = unwanted {
            self.clear(entry);
        }
        let registry = Arc::downgrade(self);
        Attachment::new(registry, weak, latch, scope.clone(), id)
    }

    /// How many connections are attached. Each shard is read in turn, so the sum is of no one instant.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.connections.lock().len())
            .sum()
    }

    /// How many connections are in the target.
    #[must_use]
    pub fn members(&self, scope: &Scope, target: &Target) -> usize {
        let key = KeyRef::new(scope, target);
        let hash = key.hash(&self.hasher);
        match target {
            Target::Connection(_) => {
                usize::from(self.connection_table(hash).connection(hash, key).is_some())
            }
            _ => self
                .target_table(hash)
                .members(hash, key)
                .map_or(0, members::Members::len),
        }
    }

    /// Detaches every connection, for good: a connection that attaches later is detached at once.
    pub fn close(&self) {
        // An attach that read the flag before this line holds its shard's lock, and is found below.
        self.closed.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            let connections = shard.connections.lock().detach_all();
            connections.into_iter().for_each(|entry| self.clear(entry));
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn connection_table(&self, hash: u64) -> MutexGuard<'_, H::Mutex, ConnectionTable> {
        self.shard(hash).connections.lock()
    }

    fn target_table(&self, hash: u64) -> MutexGuard<'_, H::Mutex, TargetTable> {
        self.shard(hash).targets.lock()
    }

    fn shard(&self, hash: u64) -> &Shard<H> {
        // hashbrown takes the lowest bits for the place and the highest seven for the tag.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    fn entry_hash(&self, member: &Member) -> u64 {
        member.key().hash(&self.hasher)
    }

    fn reach(&self, key: KeyRef<'_>) -> ReachAnswer {
        match &self.watcher {
            Some(watcher) => watcher.reach(key),
            None => ReachAnswer::Known(Reach::Everywhere),
        }
    }

    /// Detaches the connection, for this reason; false if it is detached.
    fn expel(&self, member: &Member, end: ConnectionEnd) -> bool {
        let hash = self.entry_hash(member);
        let entry = self
            .connection_table(hash)
            .detach(hash, member, end, &self.hasher);
        let attached = entry.is_some();
        entry.into_iter().for_each(|entry| self.clear(entry));
        attached
    }

    /// Takes a closed connection, already out of its entry, out of every target it joined. No lock is
    /// held while the last reference drops, for what the closure captured may drop with it.
    fn clear(&self, entry: ConnectionEntry) {
        for key in entry.joined() {
            if self.leave(key, &entry.member) {
                self.target_lost(key.parts());
            }
        }
        self.target_lost(entry.member.key());
        self.dispose(entry.member);
    }

    /// Drops what may be the last reference to a closure. A panic in what it captured is counted.
    fn dispose<T>(&self, value: T) {
        let mut value = Some(value);
        if H::contain(&mut || drop(value.take())).is_err() {
            self.drops.count_panic();
        }
    }

    /// Takes the connection out of the target; true if the target has no member left.
    fn leave(&self, key: &Key, member: &Member) -> bool {
        let hash = key.parts().hash(&self.hasher);
        let left = self
            .target_table(hash)
            .leave(hash, key.parts(), member, &self.hasher);
        left.is_some_and(|Removed { member, emptied }| {
            // Outside of the lock, for it may be the last reference.
            drop(member);
            emptied
        })
    }

    /// Joins the connection to the target: whether the target had no member before, or `None` where the connection was in it
    /// already.
    fn join(&self, member: &Member, key: KeyRef<'_>) -> Result<Option<bool>, AssociateError> {
        let limit = self.targets_per_connection;
        let hash = key.hash(&self.hasher);
        let entry_hash = self.entry_hash(member);
        let mut connections = self.connection_table(entry_hash);
        let entry = connections
            .entry(entry_hash, member)
            .ok_or(AssociateError::Detached)?;
        if entry.count() >= limit as usize {
            let joined = entry.joined().any(|joined| joined.parts() == key);
            return match joined {
                true => Ok(None),
                false => Err(AssociateError::TooMany { limit }),
            };
        }
        let joined = self
            .target_table(hash)
            .join(hash, key, member, &self.hasher);
        let Some(joined) = joined else {
            return Ok(None);
        };
        entry.join(joined.key, self.now());
        Ok(Some(joined.first))
    }

    /// The present instant, or the first where nothing watches the targets.
    fn now(&self) -> Instant {
        self.watcher
            .as_ref()
            .map_or(Instant::ZERO, |watcher| watcher.now())
    }

    fn target_gained(&self, key: KeyRef<'_>) {
        if let Some(watcher) = &self.watcher {
            watcher.target_gained(key);
        }
    }

    fn target_lost(&self, key: KeyRef<'_>) {
        if let Some(watcher) = &self.watcher {
            watcher.target_lost(key);
        }
    }
}

impl<H: Host> Membership for Registry<H> {
    fn associate(
        &self,
        scope: &Scope,
        member: &Member,
        target: &Target,
    ) -> Result<(ReachAnswer, bool), AssociateError> {
        if matches!(target, Target::Connection(_)) {
            return Err(AssociateError::Reserved);
        }
        let key = KeyRef::new(scope, target);
        // Before the target is in the table: who finds it there may rely on its being watched.
        self.target_gained(key);
        let first = self.join(member, key);
        if first != Ok(Some(true)) {
            self.target_lost(key);
        }
        first.map(|first| (self.reach(key), first.is_some()))
    }

    fn dissociate(&self, scope: &Scope, member: &Member, target: &Target) -> bool {
        let parts = KeyRef::new(scope, target);
        let hash = self.entry_hash(member);
        let mut connections = self.connection_table(hash);
        let Some(entry) = connections.entry(hash, member) else {
            return false;
        };
        let Some(key) = entry.leave(parts) else {
            return false;
        };
        // The entry keeps the connection, so nothing of it drops under the lock.
        let emptied = self.leave(&key, member);
        drop(connections);
        if emptied {
            self.target_lost(key.parts());
        }
        true
    }

    fn is_in(&self, scope: &Scope, member: &Member, target: &Target) -> bool {
        let key = KeyRef::new(scope, target);
        let hash = self.entry_hash(member);
        self.connection_table(hash)
            .entry(hash, member)
            .is_some_and(|entry| entry.keys().any(|joined| joined == key))
    }

    fn answer_reach(&self, scope: &Scope, target: &Target) -> ReachAnswer {
        self.reach(KeyRef::new(scope, target))
    }

    fn reach_of(&self, scope: &Scope, target: &Target) -> Reach {
        let key = KeyRef::new(scope, target);
        match &self.watcher {
            Some(watcher) => watcher.reaches(key),
            None => Reach::Everywhere,
        }
    }

    fn targets(&self, member: &Member) -> Vec<Target> {
        let hash = self.entry_hash(member);
        let mut connections = self.connection_table(hash);
        let entry = connections.entry(hash, member);
        entry
            .map(|entry| entry.keys().filter_map(KeyRef::target).collect())
            .unwrap_or_default()
    }

    fn detach(&self, member: &Member) {
        self.expel(member, ConnectionEnd::Detached);
    }

    fn push(&self, member: &Member, event: &Event) -> Verdict {
        let mut tally = Tally::default();
        self.call_each(
            core::slice::from_ref(member),
            &mut tally,
            |_| true,
            |member| member.sink().deliver(event),
        );
        self.drops.add(tally.delivered);
        match tally.delivered {
            Delivered { accepted: 1, .. } => Verdict::Accepted,
            Delivered { full: 1, .. } => Verdict::Full,
            _ => Verdict::Closed,
        }
    }

    fn dispose(&self, member: Member) {
        self.dispose(member);
    }
}

/// Detaches the connections that are left: nothing can publish to them any more.
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

#[cfg(test)]
mod tests;
