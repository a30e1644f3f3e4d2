//! The other nodes: who is known, who of them is a member, and who is named to others.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::config::Config;
use super::newcomers::Newcomers;
use super::peer::{LastLanes, ONCE, Peer, Standing};
use crate::envelope::{Departures, Heard, Left};
use crate::node_id::NodeId;
use crate::time::Instant;

/// After how many silent heartbeats a peer is no member any more.
const SILENCE: u32 = 10;

/// For how many heartbeats after a link began a node that is not heard may be about to come back.
pub(super) const RETURN: u32 = 4;

/// The most nodes that a heartbeat names as heard, in turn if there are more: about 1 KiB.
pub(super) const NAMED: usize = 32;

/// Of those that a heartbeat names the part that is left to names which were heard once, where others are to be named.
const PART: usize = 2;

/// Of nodes that nothing proves to live as many are known as of others, and this number at least.
const NEWCOMERS: usize = 64;

/// The most nodes that left which a node that greets is told of, and the most lanes of each.
const LEFT: usize = 64;
pub(super) const LEFT_LANES: usize = 64;

/// The most that a node which left takes in front of a heartbeat and in it, and each of its lanes, in bytes.
const DEPARTED: usize = 2 * 16 + 2 * 10 + 5;
const LAST_LANE: usize = 5 + 2 * 10;

/// From which node on those that left are to be named, and how many at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct NamesLeft {
    from: NodeId,
    most: usize,
}

impl NamesLeft {
    pub(super) const ALL: Self = Self {
        from: NodeId([0; 16]),
        most: LEFT,
    };
}

#[derive(Debug)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Box<Peer>>,
    members: usize,
    /// The nodes that nothing proves to live. Each other one has a place, which only one that is gone gives up.
    newcomers: Newcomers,
    /// The most that have a place.
    most: usize,
    /// The nodes that have another number of lanes.
    differing: BTreeSet<NodeId>,
    /// When silent nodes were heard last of which nothing else is known any more, at most as many as there may be peers.
    forgotten: BTreeMap<NodeId, Instant>,
}

/// What is due of a node that is not heard any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The node is no member any more.
    Silent,
    /// The node left, and what did not come of it by now will not.
    Settled,
    /// What it sent last nobody will send again.
    Lost,
    /// Nothing of it is to be known any more.
    Forgotten,
    /// The node speaks, and never names us: nothing that it publishes comes.
    Unanswered,
}

impl Peers {
    pub(super) fn new(most: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            members: 0,
            newcomers: Newcomers::default(),
            most,
            differing: BTreeSet::new(),
            forgotten: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Peer> {
        let peer = self.known.get(&id)?;
        Some(peer)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        let peer = self.known.get_mut(&id)?;
        Some(peer)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Peer> {
        self.known.values().map(|peer| &**peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.known.iter().map(|(id, peer)| (*id, &**peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Peer)> {
        self.known.iter_mut().map(|(id, peer)| (*id, &mut **peer))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.iter().filter(|(_, peer)| peer.is_member())
    }

    /// How many are members.
    pub(super) fn count(&self) -> usize {
        self.members
    }

    /// Whether members have all places: one more gets none, whatever proves it.
    pub(super) fn is_full(&self) -> bool {
        self.members >= self.most
    }

    /// Whether no place is free, though one that is gone may have to give up its own.
    pub(super) fn is_taken(&self) -> bool {
        self.known.len() - self.newcomers.len() >= self.most
    }

    /// The one that gives up its place to another: of those that are gone one that is told of already, and of these the one
    /// that was not heard for longest.
    pub(super) fn least(&self) -> Option<NodeId> {
        let gone = self.known.iter();
        let gone = gone.filter(|(_, peer)| peer.proven && !peer.is_member());
        let least = gone.min_by_key(|(_, peer)| (peer.is_untold(), peer.heard));
        least.map(|(id, _)| *id)
    }

    /// The newcomer to forget before another is known.
    pub(super) fn newcomer_too_many(&self) -> Option<NodeId> {
        let room = self.most.max(NEWCOMERS);
        let full = self.newcomers.len() >= room;
        full.then(|| self.newcomers.first()).flatten()
    }

    /// A node was heard more than once, or a member named it.
    pub(super) fn came_again(&mut self, id: NodeId) {
        if let Some(peer) = self.known.get_mut(&id)
            && !core::mem::replace(&mut peer.again, true)
        {
            self.newcomers.came_again(id);
        }
    }

    /// Whether a node that is known has another number of lanes, from now on.
    pub(super) fn set_differing(&mut self, id: NodeId, differs: bool) {
        match differs {
            true => self.differing.insert(id),
            false => self.differing.remove(&id),
        };
    }

    /// Whether a node that is known has another number of lanes.
    pub(super) fn is_differing(&self) -> bool {
        !self.differing.is_empty()
    }

    /// In how many heartbeats a node that knows as many as this one names each of them once.
    pub(super) fn turns(&self) -> u32 {
        u32::try_from(1 + self.known.len() / NAMED).unwrap_or(u32::MAX)
    }

    /// A node is known from now on.
    pub(super) fn insert(&mut self, now: Instant, id: NodeId) {
        self.known.insert(id, Box::new(Peer::new(now)));
        self.newcomers.came(id);
    }

    /// Forgets a node, but when a silent one was heard last: its machine may have been suspended.
    pub(super) fn forget(&mut self, id: NodeId) -> Option<Box<Peer>> {
        let peer = self.known.remove(&id)?;
        self.members -= usize::from(peer.is_member());
        self.newcomers.remove(id);
        self.differing.remove(&id);
        if peer.standing == Standing::Silent {
            let others = self.forgotten.iter();
            let oldest = others.min_by_key(|(_, heard)| **heard).map(|(id, _)| *id);
            if let Some(oldest) = oldest.filter(|_| self.forgotten.len() >= self.most) {
                self.forgotten.remove(&oldest);
            }
            self.forgotten.insert(id, peer.heard);
        }
        Some(peer)
    }

    /// When a node that is heard again was heard last, if it was forgotten meanwhile.
    pub(super) fn recall(&mut self, id: NodeId) -> Option<Instant> {
        self.forgotten.remove(&id)
    }

    /// The node stands like this now. Gives how it stood.
    pub(super) fn stand(&mut self, id: NodeId, standing: Standing) -> Option<Standing> {
        let peer = self.known.get_mut(&id)?;
        let before = core::mem::replace(&mut peer.standing, standing);
        peer.proven |= standing == Standing::Member;
        if peer.proven {
            self.newcomers.remove(id);
        }
        self.members -= usize::from(before == Standing::Member);
        self.members += usize::from(standing == Standing::Member);
        Some(before)
    }

    /// What is due of the nodes that are not heard any more, on a link that began at `connected`.
    pub(super) fn overdue(
        &self,
        now: Instant,
        connected: Instant,
        config: &Config,
    ) -> Vec<(NodeId, Overdue)> {
        let due = self.known.iter().filter_map(|(id, peer)| {
            let overdue = overdue(peer, now, connected, config)?;
            Some((*id, overdue))
        });
        due.collect()
    }

    /// At most `most` of the nodes that were heard lately, those first that wait to be named. They are named now.
    pub(super) fn name(&mut self, now: Instant, config: &Config, most: usize) -> Vec<Heard> {
        let remembers = |peer: &Peer, at: Instant| {
            let every = peer.every(config.heartbeat);
            !peer.foreign && now - at <= config.remembered_of(every)
        };
        let mut heard: Vec<(u8, Option<Instant>, NodeId)> = self
            .known
            .iter()
            .filter(|(_, peer)| peer.latest.is_some_and(|(_, at)| remembers(peer, at)))
            .map(|(id, peer)| (peer.turn(), peer.named, *id))
            .collect();
        heard.sort_unstable();
        let others = heard.iter().filter(|(turn, ..)| *turn != ONCE).count();
        let mut once = (most / PART).max(most.saturating_sub(others));
        heard.retain(|(turn, ..)| {
            let named = *turn != ONCE || once > 0;
            once -= usize::from(named && *turn == ONCE);
            named
        });
        heard.truncate(most);
        let named = heard.into_iter().filter_map(|(.., node)| {
            let peer = self.known.get_mut(&node)?;
            (peer.owed, peer.named) = (false, Some(now));
            let (stamp, at) = peer.latest?;
            let ago = now - at;
            Some(Heard { node, stamp, ago })
        });
        named.collect()
    }

    /// The nodes that left lately, from `naming` on, as many as fit this number of bytes, and how far back the lists of their
    /// lanes go. Behind them is where to go on, if there are more to name.
    pub(super) fn left(
        &self,
        now: Instant,
        mut naming: NamesLeft,
        room: usize,
    ) -> (Vec<Left>, Departures, Option<NamesLeft>) {
        let (mut left, mut departures) = (Vec::new(), Departures::default());
        let known = self.known.range(naming.from..).filter_map(|(node, peer)| {
            let last = peer.last.as_ref()?;
            let bytes = DEPARTED + last.lanes.len() * LAST_LANE;
            let fits = peer.standing == Standing::Left && bytes <= room;
            fits.then_some((*node, peer.heard, last, bytes))
        });
        let mut taken = 0;
        for (node, heard, LastLanes { lanes, since }, bytes) in known.take(naming.most) {
            taken += bytes;
            if taken > room {
                naming.from = node;
                return (left, departures, Some(naming));
            }
            naming.most -= 1;
            let (ago, lanes) = (now - heard, lanes.clone());
            left.push(Left { node, ago, lanes });
            if !since.is_zero() {
                departures.since.push((node, *since));
            }
        }
        (left, departures, None)
    }
}

fn overdue(peer: &Peer, now: Instant, connected: Instant, config: &Config) -> Option<Overdue> {
    let gone = now - peer.heard;
    let silence = now - peer.heard.max(connected);
    // After an outage nodes come back one after the other, two and a half heartbeats apart at most.
    let every = peer.every(config.heartbeat);
    let patient = now - connected > config.heartbeat.max(every) * RETURN;
    // What a node published that never named us is told as missed all along.
    let lost_after = match peer.told_unanswered() {
        Some(_) => every * 3,
        None => config.lost_after(every),
    };
    match peer.standing {
        Standing::Left => match peer.settles {
            Some(at) => (at <= now).then_some(Overdue::Settled),
            None => (gone > config.remembered_of(every)).then_some(Overdue::Forgotten),
        },
        _ if patient && gone > lost_after => {
            let remembered = config.remembered_of(every) + config.time_to_live;
            let forgotten = !peer.lives || silence > remembered;
            match peer.deaf.is_some() || !peer.lives {
                true => forgotten.then_some(Overdue::Forgotten),
                false => Some(Overdue::Lost),
            }
        }
        Standing::Member => (silence > every * SILENCE).then_some(Overdue::Silent),
        Standing::Unproven => {
            let speaks = peer.beat.is_some_and(|(_, came)| now - came <= every * 3);
            let since = peer
                .unanswered
                .filter(|_| speaks && peer.lives && !peer.foreign);
            let due =
                since.is_some_and(|since| now - since.max(connected) > config.lost_after(every));
            due.then_some(Overdue::Unanswered)
        }
        Standing::Silent => None,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn id(node: u8) -> NodeId {
        NodeId([node; 16])
    }

    /// The first of these nodes is a member, all were heard at 1 s.
    fn peers(nodes: u8) -> Peers {
        let mut peers = Peers::new(4);
        for node in 0..nodes {
            peers.insert(at(1), id(node));
            peers.known.get_mut(&id(node)).unwrap().lives = true;
        }
        peers.stand(id(0), Standing::Member);
        peers
    }

    #[test]
    fn members_are_counted_however_they_come_to_stand() {
        let mut peers = peers(3);
        assert_eq!(peers.count(), 1);
        assert_eq!(
            peers.stand(id(1), Standing::Member),
            Some(Standing::Unproven)
        );
        peers.stand(id(1), Standing::Member);
        assert_eq!(peers.count(), 2);
        peers.stand(id(0), Standing::Silent);
        peers.forget(id(1));
        assert_eq!((peers.count(), peers.members().count()), (0, 0));
        assert_eq!(peers.stand(id(1), Standing::Member), None);
    }

    #[test]
    fn a_member_falls_silent_then_is_lost_and_then_forgotten() {
        let config = Config::default();
        let mut peers = peers(1);
        let due = |peers: &Peers, now| {
            let overdue = peers.overdue(at(now), at(0), &config);
            overdue.first().map(|(_, overdue)| *overdue)
        };
        assert_eq!(due(&peers, 21), None);
        assert_eq!(due(&peers, 22), Some(Overdue::Silent));
        peers.stand(id(0), Standing::Silent);
        assert_eq!(due(&peers, 31), None);
        assert_eq!(due(&peers, 32), Some(Overdue::Lost));
        peers.get_mut(id(0)).unwrap().deaf = Some(at(32));
        assert_eq!(due(&peers, 67), None);
        assert_eq!(due(&peers, 68), Some(Overdue::Forgotten));
        // A link that has just begun says nothing yet.
        assert!(peers.overdue(at(68), at(60), &config).is_empty());
    }

    #[test]
    fn a_silent_node_that_is_forgotten_is_remembered_and_others_are_not() {
        let mut peers = peers(2);
        peers.stand(id(0), Standing::Silent);
        peers.forget(id(0));
        peers.forget(id(1));
        assert_eq!(peers.recall(id(0)), Some(at(1)));
        assert_eq!(peers.recall(id(0)), None);
        assert_eq!(peers.recall(id(1)), None);
    }

    #[test]
    fn who_is_owed_a_word_is_named_first_and_all_in_turn() {
        let config = Config::default();
        let mut peers = Peers::new(100);
        for node in 0..50 {
            peers.insert(at(1), id(node));
            let peer = peers.known.get_mut(&id(node)).unwrap();
            peer.latest = Some((Duration::from_secs(7), at(1)));
            peer.owed = node == 49;
        }
        let first = peers.name(at(2), &config, NAMED);
        assert_eq!((first.len(), first[0].node), (NAMED, id(49)));
        let second = peers.name(at(3), &config, NAMED);
        assert_eq!(second[0].node, id(NAMED as u8 - 1));
        assert!(peers.name(at(38), &config, NAMED).is_empty());
    }

    #[test]
    fn who_gives_up_a_place_is_gone_and_was_not_heard_for_longest() {
        let mut peers = peers(4);
        for (node, heard) in [(1, 9), (2, 5), (3, 7)] {
            assert!(!peers.is_taken());
            peers.stand(id(node), Standing::Member);
            peers.known.get_mut(&id(node)).unwrap().heard = at(heard);
        }
        assert!(peers.is_full() && peers.is_taken());
        assert_eq!(peers.least(), None);
        for node in 1..4 {
            peers.stand(id(node), Standing::Silent);
        }
        assert!(!peers.is_full() && peers.is_taken());
        assert_eq!(peers.least(), Some(id(2)));
        peers.get_mut(id(1)).unwrap().deaf = Some(at(9));
        assert_eq!(peers.least(), Some(id(1)));
    }

    #[test]
    fn newcomers_take_no_place_and_give_way_beyond_their_room() {
        let mut peers = Peers::new(4);
        for node in 0..64 {
            assert_eq!(peers.newcomer_too_many(), None);
            peers.insert(at(1), id(node));
        }
        assert!(!peers.is_taken());
        assert_eq!(peers.newcomer_too_many(), Some(id(0)));
        peers.stand(id(0), Standing::Member);
        assert_eq!(peers.newcomer_too_many(), None);
        peers.insert(at(1), id(64));
        peers.came_again(id(1));
        assert_eq!(peers.newcomer_too_many(), Some(id(2)));
    }

    #[test]
    fn names_that_were_heard_once_take_half_of_those_that_a_heartbeat_names() {
        let config = Config::default();
        let mut peers = Peers::new(100);
        for node in 0..80 {
            peers.insert(at(1), id(node));
            let peer = peers.known.get_mut(&id(node)).unwrap();
            peer.latest = Some((Duration::from_secs(7), at(1)));
            peer.owed = node < 60;
        }
        let named = peers.name(at(2), &config, NAMED);
        let once = named.iter().filter(|heard| heard.node < id(60)).count();
        assert_eq!((named.len(), once), (NAMED, NAMED / 2));
        // Where there are no others they take all.
        let mut named = Vec::new();
        for node in 60..80 {
            peers.forget(id(node));
        }
        named.extend(peers.name(at(3), &config, NAMED));
        assert_eq!(named.len(), NAMED);
    }
}
