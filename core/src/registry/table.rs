//! One shard of the two tables, plain `&mut self`; the registry puts a lock around each.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::connection::{Member, address};
use super::end::ConnectionEnd;
use super::key::{Key, KeyRef};
use super::members::{Members, Removed};
use crate::time::Instant;

/// An attached connection, in the shard of its own key.
pub(super) struct ConnectionEntry {
    pub(super) member: Member,
    /// The targets that the connection joined as it attached. The lists and the targets change together, under the lock of
    /// this entry, so a detach that takes the lists finds every place it must leave.
    joined: Vec<Key>,
    /// The targets that the connection joined later, and when.
    #[expect(
        clippy::box_collection,
        reason = "most connections have none, and an entry is to be small"
    )]
    later: Option<Box<Vec<(Key, Instant)>>>,
}

/// For how long a connection attaches: what it joins within this time it has been in from the beginning.
const ATTACHING: Duration = Duration::from_millis(1);

impl ConnectionEntry {
    pub(super) const fn new(member: Member) -> Self {
        Self {
            member,
            joined: Vec::new(),
            later: None,
        }
    }

    /// The key of every target the connection is in, its own first.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyRef<'_>> {
        self.targets().map(|(key, _)| key)
    }

    /// When the connection attached.
    pub(super) fn since(&self) -> Instant {
        self.member.since()
    }

    /// The key of every target the connection is in, its own first, and since when.
    pub(super) fn targets(&self) -> impl Iterator<Item = (KeyRef<'_>, Instant)> {
        let attached = self.since();
        let joined = self.joined.iter().map(move |key| (key.parts(), attached));
        let later = self.later.iter().flat_map(|later| later.iter());
        let own = core::iter::once((self.member.key(), attached));
        own.chain(joined)
            .chain(later.map(|(key, since)| (key.parts(), *since)))
    }

    /// The keys of the targets that the connection joined.
    pub(super) fn joined(&self) -> impl Iterator<Item = &Key> {
        let later = self.later.iter().flat_map(|later| later.iter());
        self.joined.iter().chain(later.map(|(key, _)| key))
    }

    /// How many targets the connection joined.
    pub(super) fn count(&self) -> usize {
        self.joined.len() + self.later.as_ref().map_or(0, |later| later.len())
    }

    /// Adds a target.
    pub(super) fn join(&mut self, key: Key, since: Instant) {
        if since - self.since() >= ATTACHING {
            self.later.get_or_insert_default().push((key, since));
            return;
        }
        // Most connections are in few targets, and many connections are idle: the list has no room to spare.
        if self.joined.len() == self.joined.capacity() {
            self.joined.reserve_exact(1 + self.joined.len() / 8);
        }
        self.joined.push(key);
    }

    /// Takes a target out and gives its key, if the connection had joined the target.
    pub(super) fn leave(&mut self, key: KeyRef<'_>) -> Option<Key> {
        let joined = self.joined.iter();
        if let Some(at) = joined.map(Key::parts).position(|joined| joined == key) {
            return Some(self.joined.swap_remove(at));
        }
        let later = self.later.as_mut()?;
        let at = later.iter().position(|(joined, _)| joined.parts() == key)?;
        let (left, _) = later.swap_remove(at);
        if later.is_empty() {
            self.later = None;
        }
        Some(left)
    }
}

/// The members of one target. It exists while it has one.
struct TargetEntry {
    key: Key,
    members: Members,
}

/// A connection that has just joined a target.
pub(super) struct Joined {
    pub(super) key: Key,
    pub(super) first: bool,
}

/// The attached connections, by their own key.
pub(super) struct ConnectionTable(HashTable<ConnectionEntry>);

/// The members of every other target, by its key.
pub(super) struct TargetTable(HashTable<TargetEntry>);

impl ConnectionTable {
    pub(super) const fn new() -> Self {
        Self(HashTable::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts the connection in and gives back the one that had its key, closed: no event that finds
    /// the new connection may reach the old one any more.
    pub(super) fn attach(
        &mut self,
        hash: u64,
        attached: ConnectionEntry,
        hasher: &DefaultHashBuilder,
    ) -> Option<ConnectionEntry> {
        let entry = self.0.entry(
            hash,
            |other| other.member.key() == attached.member.key(),
            |other| other.member.key().hash(hasher),
        );
        match entry {
            Entry::Occupied(mut entry) => {
                entry.get().member.close(ConnectionEnd::Replaced);
                Some(core::mem::replace(entry.get_mut(), attached))
            }
            Entry::Vacant(entry) => {
                entry.insert(attached);
                None
            }
        }
    }

    /// Takes the connection out, closed; `None` if it is not in, or another has its key.
    pub(super) fn detach(
        &mut self,
        hash: u64,
        member: &Member,
        end: ConnectionEnd,
        hasher: &DefaultHashBuilder,
    ) -> Option<ConnectionEntry> {
        let entry = self
            .0
            .find_entry(hash, |entry| Arc::ptr_eq(&entry.member, member))
            .ok()?;
        member.close(end);
        let (entry, _) = entry.remove();
        shrink(&mut self.0, |entry| entry.member.key().hash(hasher));
        Some(entry)
    }

    /// Takes every connection out, closed.
    pub(super) fn detach_all(&mut self) -> Vec<ConnectionEntry> {
        let connections: Vec<ConnectionEntry> = self.0.drain().collect();
        let members = connections.iter().map(|entry| &entry.member);
        members.for_each(|member| member.close(ConnectionEnd::Closed));
        connections
    }

    /// Every attached connection.
    pub(super) fn entries(&self) -> impl Iterator<Item = &ConnectionEntry> {
        self.0.iter()
    }

    pub(super) fn connection(&self, hash: u64, key: KeyRef<'_>) -> Option<&Member> {
        self.0
            .find(hash, |entry| entry.member.key() == key)
            .map(|entry| &entry.member)
    }

    /// The entry of this very connection.
    pub(super) fn entry(&mut self, hash: u64, member: &Member) -> Option<&mut ConnectionEntry> {
        self.0
            .find_mut(hash, |entry| Arc::ptr_eq(&entry.member, member))
    }
}

impl TargetTable {
    pub(super) const fn new() -> Self {
        Self(HashTable::new())
    }

    /// Adds the member to the target and gives the target's key, or `None` if it was in already. A member
    /// that finds no other there is the `first`.
    pub(super) fn join(
        &mut self,
        hash: u64,
        key: KeyRef<'_>,
        member: &Member,
        hasher: &DefaultHashBuilder,
    ) -> Option<Joined> {
        let entry = self.0.entry(
            hash,
            |entry| entry.key.parts() == key,
            |entry| entry.key.parts().hash(hasher),
        );
        match entry {
            Entry::Occupied(mut entry) => {
                let entry = entry.get_mut();
                entry.members.insert(member.clone()).then(|| Joined {
                    key: entry.key.clone(),
                    first: false,
                })
            }
            Entry::Vacant(entry) => {
                let key = key.to_key();
                entry.insert(TargetEntry {
                    key: key.clone(),
                    members: Members::One(member.clone()),
                });
                Some(Joined { key, first: true })
            }
        }
    }

    /// Takes the member out of the target, to be dropped when the lock is released, and tells whether it
    /// was the last.
    pub(super) fn leave(
        &mut self,
        hash: u64,
        key: KeyRef<'_>,
        member: &Member,
        hasher: &DefaultHashBuilder,
    ) -> Option<Removed> {
        let mut entry = self
            .0
            .find_entry(hash, |entry| entry.key.parts() == key)
            .ok()?;
        let removed = entry.get_mut().members.remove(address(member));
        if removed.emptied {
            entry.remove();
            shrink(&mut self.0, |entry| entry.key.parts().hash(hasher));
        }
        Some(removed)
    }

    pub(super) fn members(&self, hash: u64, key: KeyRef<'_>) -> Option<&Members> {
        self.0
            .find(hash, |entry| entry.key.parts() == key)
            .map(|entry| &entry.members)
    }
}

/// Gives back the memory of entries that were removed: each shrink is paid for by as many removals.
fn shrink<T>(table: &mut HashTable<T>, hasher: impl Fn(&T) -> u64) {
    const KEPT: usize = 32;
    if table.capacity() > KEPT && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hasher);
    }
}
