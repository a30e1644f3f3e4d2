//! The members of one target: a set ordered by address, copied on write, whose snapshot is O(1).

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::connection::{Member, address};

/// The most members of one chunk. A join or leave beside a fan-out copies at most one chunk and the
/// list of chunks: for 100,000 members 128 and about 800 counted pointers.
pub(super) const CHUNK: usize = 128;

/// More members than hardly any cache holds the connections and mailboxes of.
const MANY: usize = 8_192;

type Chunk = Arc<Vec<Member>>;

/// A clone is a snapshot: it shares everything until one of the two changes.
///
/// Most targets have one member, so this is no larger than a [`Member`]: with a third variant beside
/// these two it would be.
#[derive(Clone)]
pub(super) enum Members {
    One(Member),
    More(Arc<More>),
}

#[derive(Clone)]
pub(super) enum More {
    Few(Vec<Member>),
    /// Chunks in ascending order, none of them empty.
    Many(Vec<Chunk>),
}

/// What [`Members::remove`] did.
pub(super) struct Removed {
    /// The member taken out, to be dropped outside every lock: its closure may drop with it.
    pub(super) member: Option<Member>,
    /// No member is left; the set itself is to be dropped.
    pub(super) emptied: bool,
}

impl Members {
    /// The members in slices, in ascending order of address.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[Member]> {
        let (first, rest): (&[Member], &[Chunk]) = match self {
            Self::One(member) => (core::slice::from_ref(member), &[]),
            Self::More(more) => match &**more {
                More::Few(members) => (members, &[]),
                More::Many(chunks) => (&[], chunks),
            },
        };
        core::iter::once(first).chain(rest.iter().map(|chunk| chunk.as_slice()))
    }

    /// Whether there are more members than a cache holds when each is served in its turn.
    pub(super) fn are_many(&self) -> bool {
        matches!(self, Self::More(more) if matches!(&**more, More::Many(chunks) if chunks.len() > MANY / CHUNK))
    }

    pub(super) fn len(&self) -> usize {
        self.slices().map(<[Member]>::len).sum()
    }

    /// Adds the member; false if it was in already.
    pub(super) fn insert(&mut self, member: Member) -> bool {
        match self {
            Self::One(one) if address(one) == address(&member) => false,
            Self::One(one) => {
                let mut pair = vec![one.clone(), member];
                pair.sort_unstable_by_key(address);
                *self = Self::More(Arc::new(More::Few(pair)));
                true
            }
            Self::More(more) => insert(more, member),
        }
    }

    /// Takes the member at this address out.
    pub(super) fn remove(&mut self, at: usize) -> Removed {
        let (member, emptied) = match self {
            Self::One(one) if address(one) == at => (Some(one.clone()), true),
            Self::One(_) => (None, false),
            Self::More(more) => {
                let member = remove(more, at);
                let left = match &**more {
                    More::Few(members) => Some(members.as_slice()),
                    More::Many(_) => None,
                };
                let emptied = left.is_some_and(<[Member]>::is_empty);
                if let Some([last]) = left {
                    *self = Self::One(last.clone());
                }
                (member, emptied)
            }
        };
        Removed { member, emptied }
    }
}

fn insert(more: &mut Arc<More>, member: Member) -> bool {
    // Where it belongs is looked up first: one that is in already must copy nothing.
    let (which, found) = match &**more {
        More::Few(members) => (0, position(members, address(&member))),
        More::Many(chunks) => {
            let which = chunk_of(chunks, address(&member));
            (which, position(&chunks[which], address(&member)))
        }
    };
    let Err(at) = found else { return false };
    let more = Arc::make_mut(more);
    match more {
        More::Few(members) => {
            if let Some(upper) = insert_or_split(members, at, member) {
                let lower = core::mem::take(members);
                *more = More::Many(vec![Arc::new(lower), Arc::new(upper)]);
            }
        }
        More::Many(chunks) => {
            let members = Arc::make_mut(&mut chunks[which]);
            if let Some(upper) = insert_or_split(members, at, member) {
                chunks.insert(which + 1, Arc::new(upper));
            }
        }
    }
    true
}

fn remove(more: &mut Arc<More>, at: usize) -> Option<Member> {
    let (which, found) = match &**more {
        More::Few(members) => (0, position(members, at)),
        More::Many(chunks) => {
            let which = chunk_of(chunks, at);
            (which, position(&chunks[which], at))
        }
    };
    let index = found.ok()?;
    let more = Arc::make_mut(more);
    match more {
        More::Few(members) => Some(take(members, index)),
        More::Many(chunks) => {
            let member = take(Arc::make_mut(&mut chunks[which]), index);
            merge(chunks, which);
            if chunks.len() == 1
                && let Some(last) = chunks.pop()
            {
                *more = More::Few(Arc::unwrap_or_clone(last));
            }
            Some(member)
        }
    }
}

fn position(members: &[Member], at: usize) -> Result<usize, usize> {
    members.binary_search_by_key(&at, address)
}

/// The chunk in which the address stands or would stand.
fn chunk_of(chunks: &[Chunk], at: usize) -> usize {
    chunks
        .partition_point(|chunk| chunk.first().is_some_and(|first| address(first) <= at))
        .saturating_sub(1)
}

/// Inserts at the index. If there are [`CHUNK`] already they are split first, and the upper part is
/// returned.
fn insert_or_split(members: &mut Vec<Member>, at: usize, member: Member) -> Option<Vec<Member>> {
    if members.len() < CHUNK {
        members.insert(at, member);
        return None;
    }
    if at == CHUNK {
        // Addresses often rise while connections arrive: what is full stays full.
        return Some(vec![member]);
    }
    let mut upper = members.split_off(CHUNK / 2);
    if at <= members.len() {
        members.insert(at, member);
    } else {
        upper.insert(at - members.len(), member);
    }
    Some(upper)
}

fn take(members: &mut Vec<Member>, index: usize) -> Member {
    let member = members.remove(index);
    if members.len() < members.capacity() / 4 {
        members.shrink_to(members.len() * 2);
    }
    member
}

/// Drops the chunk if it is empty, and else joins it with each neighbour where both together are at
/// most half full: memory follows the members down as well as up.
fn merge(chunks: &mut Vec<Chunk>, which: usize) {
    if chunks[which].is_empty() {
        chunks.remove(which);
        return;
    }
    for lower in [Some(which), which.checked_sub(1)].into_iter().flatten() {
        let Some([low, high]) = chunks.get_mut(lower..lower + 2) else {
            continue;
        };
        if low.len() + high.len() <= CHUNK / 2 {
            Arc::make_mut(low).extend(high.iter().cloned());
            chunks.remove(lower + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::registry::connection::{Head, HostLatch};
    use crate::target::{ConnectionId, Scope};
    use crate::{Event, Instant, Sink};

    fn member() -> Member {
        let id = ConnectionId::new("c").unwrap();
        let latch = Arc::new(HostLatch::<crate::SingleThread<midplane::Lock>>::new());
        Sink::new(|_: &Event| {}).into_member(Head::new(Scope::default(), id, Instant::ZERO), latch)
    }

    fn addresses(members: &Members) -> Vec<usize> {
        members.slices().flatten().map(address).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(usize),
        Remove(usize),
        Snapshot,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0..600_usize).prop_map(Step::Insert),
            4 => (0..600_usize).prop_map(Step::Remove),
            1 => Just(Step::Snapshot),
        ]
    }

    proptest! {
        /// The set against an ordered map, while snapshots are alive: what a snapshot saw never changes.
        #[test]
        fn members_are_a_set_and_snapshots_stand_still(steps in prop::collection::vec(step(), 1..2_000)) {
            let pool: Vec<Member> = (0..600).map(|_| member()).collect();
            let mut members: Option<Members> = None;
            let mut model = BTreeMap::new();
            let mut snapshots = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(index) => {
                        let member = &pool[index];
                        let fresh = model.insert(address(member), index).is_none();
                        match &mut members {
                            Some(members) => prop_assert_eq!(members.insert(member.clone()), fresh),
                            None => members = Some(Members::One(member.clone())),
                        }
                    }
                    Step::Remove(index) => {
                        let at = address(&pool[index]);
                        let present = model.remove(&at).is_some();
                        if let Some(set) = &mut members {
                            let removed = set.remove(at);
                            prop_assert_eq!(removed.member.is_some(), present);
                            prop_assert_eq!(removed.emptied, present && model.is_empty());
                            if removed.emptied {
                                members = None;
                            }
                        }
                    }
                    Step::Snapshot => {
                        if let Some(members) = &members {
                            snapshots.push((members.clone(), model.keys().copied().collect::<Vec<_>>()));
                            snapshots.truncate(4);
                        }
                    }
                }
                let now = members.as_ref().map(addresses).unwrap_or_default();
                prop_assert_eq!(now, model.keys().copied().collect::<Vec<_>>());
            }
            for (snapshot, then) in &snapshots {
                prop_assert_eq!(&addresses(snapshot), then);
                prop_assert_eq!(snapshot.len(), then.len());
            }
            drop((members, snapshots));
            for member in &pool {
                prop_assert_eq!(Arc::strong_count(member), 1, "a set kept a member it had let go");
            }
        }
    }

    #[test]
    fn a_set_takes_no_more_room_than_a_member() {
        assert_eq!(size_of::<Members>(), size_of::<Member>());
    }

    #[test]
    fn chunks_merge_when_members_leave() {
        let pool: Vec<Member> = (0..10_000).map(|_| member()).collect();
        let mut members = Members::One(pool[0].clone());
        for member in &pool[1..] {
            members.insert(member.clone());
        }
        for member in &pool[100..] {
            members.remove(address(member));
        }
        let chunks = members.slices().filter(|slice| !slice.is_empty()).count();
        assert!(chunks <= 4, "{chunks} chunks for 100 members");
    }
}
