//! One shard of the two tables, plain `&mut self`; the registry puts a lock around each.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::connection::{Member, address};
use super::key::{Key, KeyRef};
use super::members::{Members, Removed};

/// An attached connection, in the shard of its own key.
pub(super) struct Home {
    pub(super) member: Member,
    /// The targets it joined. The list and the targets change together, under the lock of this home, so
    /// a detach that takes the list finds every place it must leave.
    pub(super) joined: Vec<Key>,
}

impl Home {
    /// The key of every target the connection is in, its own first.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyRef<'_>> {
        core::iter::once(self.member.key()).chain(self.joined.iter().map(Key::parts))
    }
}

/// The members of one target. It exists while it has one.
struct Room {
    key: Key,
    members: Members,
}

/// A place in a target.
pub(super) struct Joined {
    pub(super) key: Key,
    pub(super) first: bool,
}

/// The attached connections, by their own key.
pub(super) struct Homes(HashTable<Home>);

/// The members of every other target, by its key.
pub(super) struct Rooms(HashTable<Room>);

impl Homes {
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
        member: Member,
        hasher: &DefaultHashBuilder,
    ) -> Option<Home> {
        let home = Home {
            member,
            joined: Vec::new(),
        };
        let entry = self.0.entry(
            hash,
            |other| other.member.key() == home.member.key(),
            |other| other.member.key().hash(hasher),
        );
        match entry {
            Entry::Occupied(mut entry) => {
                entry.get().member.close();
                Some(core::mem::replace(entry.get_mut(), home))
            }
            Entry::Vacant(entry) => {
                entry.insert(home);
                None
            }
        }
    }

    /// Takes the connection out, closed; `None` if it is not in, or another has its key.
    pub(super) fn detach(
        &mut self,
        hash: u64,
        member: &Member,
        hasher: &DefaultHashBuilder,
    ) -> Option<Home> {
        let entry = self
            .0
            .find_entry(hash, |home| Arc::ptr_eq(&home.member, member))
            .ok()?;
        member.close();
        let (home, _) = entry.remove();
        shrink(&mut self.0, |home| home.member.key().hash(hasher));
        Some(home)
    }

    /// Takes every connection out, closed.
    pub(super) fn detach_all(&mut self) -> Vec<Home> {
        let homes: Vec<Home> = self.0.drain().collect();
        homes.iter().for_each(|home| home.member.close());
        homes
    }

    pub(super) fn connection(&self, hash: u64, key: KeyRef<'_>) -> Option<&Member> {
        self.0
            .find(hash, |home| home.member.key() == key)
            .map(|home| &home.member)
    }

    /// The home of this very connection.
    pub(super) fn home(&mut self, hash: u64, member: &Member) -> Option<&mut Home> {
        self.0
            .find_mut(hash, |home| Arc::ptr_eq(&home.member, member))
    }
}

impl Rooms {
    pub(super) const fn new() -> Self {
        Self(HashTable::new())
    }

    /// Adds the member to the target and gives the target's key, or `None` if it was in already. A member
    /// that finds nobody there is the `first`.
    pub(super) fn join(
        &mut self,
        hash: u64,
        key: KeyRef<'_>,
        member: &Member,
        hasher: &DefaultHashBuilder,
    ) -> Option<Joined> {
        let entry = self.0.entry(
            hash,
            |room| room.key.parts() == key,
            |room| room.key.parts().hash(hasher),
        );
        match entry {
            Entry::Occupied(mut entry) => {
                let room = entry.get_mut();
                room.members.insert(member.clone()).then(|| Joined {
                    key: room.key.clone(),
                    first: false,
                })
            }
            Entry::Vacant(entry) => {
                let key = key.to_key();
                entry.insert(Room {
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
            .find_entry(hash, |room| room.key.parts() == key)
            .ok()?;
        let removed = entry.get_mut().members.remove(address(member));
        if removed.emptied {
            entry.remove();
            shrink(&mut self.0, |room| room.key.parts().hash(hasher));
        }
        Some(removed)
    }

    pub(super) fn members(&self, hash: u64, key: KeyRef<'_>) -> Option<&Members> {
        self.0
            .find(hash, |room| room.key.parts() == key)
            .map(|room| &room.members)
    }
}

/// Gives back what a crowd that has left took: each shrink is paid for by as many removals.
fn shrink<T>(table: &mut HashTable<T>, hasher: impl Fn(&T) -> u64) {
    const KEPT: usize = 32;
    if table.capacity() > KEPT && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hasher);
    }
}
