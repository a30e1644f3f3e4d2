//! Whether this node and the members hear each other, and what follows from it.

use alloc::vec::Vec;
use core::time::Duration;

use super::Node;
use super::mutual::slack;
use super::news::News;
use super::peer::Standing;
use super::peers::RETURN;
use crate::envelope::{Contact, Heard, MAX_CONTACT};
use crate::member::Reason;
use crate::node_id::NodeId;
use crate::time::Instant;

/// The most reasons that are given.
const REASONS: usize = 64;

impl Node {
    /// Whether this node is ready for new clients, as far as the other nodes go: it is linked and as many are heard as
    /// were expected, and no member is to be preferred because this node is the one that does not hear, or is not heard.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_live() && self.mutual() >= self.config.expected_members && !self.gives_way
    }

    /// Whether this node does not hear a member that lives, or most of those that are heard do not hear it.
    fn is_blamed(&self) -> bool {
        let (mut heard, mut deaf) = (0, 0);
        for peer in self.reception.peers.values() {
            if peer.is_missed() && peer.lives_elsewhere() {
                return true;
            }
            heard += usize::from(peer.is_heard());
            deaf += usize::from(peer.is_heard() && peer.mutual.deaf.is_some());
        }
        deaf * 2 > heard
    }

    /// Whether a member is ready that a node which is blamed gives way to: one in contact with more of the cluster, the first of
    /// equals; or one that cannot know better, for it does not hear this node and is not blamed. The best that is blamed
    /// gives way to none but such, and those stay: as long as a node is linked one is ready.
    fn has_better(&self) -> bool {
        let rank = self.rank();
        self.reception.peers.iter().any(|(id, peer)| {
            let mutual = &peer.mutual;
            let better = (mutual.rank, self.id) > (rank, id);
            let unaware = mutual.deaf.is_some() && !mutual.blamed;
            peer.is_heard() && mutual.ready && (better || unaware)
        })
    }

    /// Judges whether this node gives way to another. One that is blamed says so first, and waits for the others to: else
    /// all might give way to each other.
    fn judge_itself(&mut self, now: Instant) {
        let wait = self.config.heartbeat / 4;
        let since = self.is_blamed().then(|| self.blamed.unwrap_or(now));
        let gives_way = since.is_some_and(|since| now - since >= wait) && self.has_better();
        if let Some(since) = since.filter(|since| now - *since < wait) {
            self.judges = self.judges.min(since + wait);
        }
        if (since, gives_way) == (self.blamed, self.gives_way) {
            return;
        }
        (self.blamed, self.gives_way) = (since, gives_way);
        self.changed = true;
        self.pulse.hasten(now, self.config.heartbeat / 32);
    }

    /// How many nodes hear each other and this node, itself among them.
    fn mutual(&self) -> usize {
        1 + self.rank() as usize
    }

    fn rank(&self) -> u32 {
        let mutual = self
            .reception
            .peers
            .values()
            .filter(|peer| peer.is_mutual());
        u32::try_from(mutual.count()).unwrap_or(u32::MAX)
    }

    /// Why this node is not sure to reach every member, the gravest first, and in which settings others differ from it;
    /// at most 64.
    #[must_use]
    pub fn reasons(&self, now: Instant) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let (heard, expected) = (self.mutual(), self.config.expected_members);
        if self.is_live() && heard < expected {
            reasons.push(Reason::Few { heard, expected });
        }
        if self.is_live() && self.reception.beyond.is_heard() {
            let room = self.config.peers;
            reasons.push(Reason::Full { room });
        }
        let mut silent = Vec::new();
        for (node, peer) in self.reception.peers.iter() {
            let mutual = &peer.mutual;
            let name = || peer.name(node);
            match (mutual.silent, mutual.deaf) {
                (None, Some(since))
                    if peer.is_heard() || (peer.is_new() && peer.deaf.is_none()) =>
                {
                    let name = name();
                    reasons.push(Reason::NotHeardBy { node, name, since });
                }
                (Some(since), _) if peer.is_missed() && peer.lives_elsewhere() => {
                    let name = name();
                    reasons.push(Reason::DeafTo { node, name, since });
                }
                (Some(since), _) if peer.is_missed() => {
                    let introduction = peer.introduction.as_ref();
                    let broker = introduction.map(|said| said.broker.clone());
                    silent.push(Reason::Silent {
                        node,
                        name: name(),
                        broker: broker.unwrap_or_default(),
                        since,
                    });
                }
                _ => {}
            }
        }
        reasons.extend(silent);
        reasons.extend(self.differences(now).into_iter().map(Reason::Differs));
        reasons.truncate(REASONS);
        reasons
    }

    /// What is said of it in the heartbeat that is made now.
    pub(super) fn contact(&mut self, now: Instant) -> Contact {
        let mut contact = Contact {
            ready: self.is_ready(),
            blamed: self.blamed.is_some(),
            rank: self.rank(),
            ..Contact::default()
        };
        let (ours, mut again) = (self.config.heartbeat, false);
        let pause = self.apart(ours / 4);
        for (id, peer) in self.reception.peers.iter() {
            let Some(since) = peer.mutual.silent else {
                if peer.is_member() && peer.mutual.asked.is_some() {
                    contact.asks.push(id);
                }
                continue;
            };
            if peer.standing != Standing::Left {
                contact.lost.push(id);
                again |= now - since <= peer.every(ours) * 3 + slack(ours);
            }
        }
        contact.more_lost = contact.lost.len() > MAX_CONTACT;
        contact.lost.truncate(MAX_CONTACT);
        contact.asks.truncate(MAX_CONTACT);
        if again {
            // The frame that says so first may be lost.
            self.pulse.hasten(now, pause);
        }
        contact
    }

    /// The origin says whom it does not hear, in a frame that is stamped `sent`.
    pub(super) fn take_contact(
        &mut self,
        now: Instant,
        origin: NodeId,
        sent: Duration,
        contact: &Contact,
    ) {
        let (me, ours, live) = (self.id, self.config.heartbeat, self.is_live());
        let turns = self.reception.peers.turns();
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return;
        };
        if !peer.proven || peer.beat.is_some_and(|(newest, _)| sent <= newest) {
            return;
        }
        // It names us in turn with the others that it knows.
        let patience = peer.every(ours).max(ours) * (turns + 1) + slack(ours);
        let mutual = &mut peer.mutual;
        let said = (contact.ready, contact.blamed, contact.rank);
        let before = (mutual.ready, mutual.blamed, mutual.rank);
        (mutual.ready, mutual.blamed, mutual.rank) = said;
        mutual.accuses = contact.lost.contains(&me);
        let unsaid = || mutual.echoed.is_none_or(|made| now - made > patience);
        let deaf = mutual.accuses || (contact.more_lost && unsaid());
        // While our own frames do not come back it is no wonder that others do not hear them.
        if deaf && live && mutual.deaf.is_none() {
            mutual.deaf = Some(now);
            self.changed = true;
        }
        if self.changed || (self.blamed.is_some() && before != said) {
            self.judges = now;
        }
        if deaf || contact.asks.contains(&me) {
            self.pulse.hasten(now, ours / 16);
            self.pulse.tick(now);
        }
    }

    /// The origin named a frame of ours that was made then.
    pub(super) fn heard_us(&mut self, origin: NodeId, made: Instant) {
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return;
        };
        let mutual = &mut peer.mutual;
        if mutual.echoed.is_none_or(|before| before < made) {
            mutual.echoed = Some(made);
            if !mutual.accuses && mutual.deaf.take().is_some() {
                self.changed = true;
                self.judges = made;
            }
        }
    }

    /// A heartbeat of the origin came.
    pub(super) fn heard_again(&mut self, origin: NodeId) {
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return;
        };
        peer.mutual.asked = None;
        if peer.mutual.silent.take().is_some() {
            peer.mutual.vouched = None;
            // It was told that we do not hear it.
            peer.owed = true;
            self.changed = true;
            self.judges = Instant::ZERO;
            if peer.is_member() {
                self.reception.news.push(News::Joined(origin));
            }
        }
    }

    /// A member says whom it heard, and how long ago: one that it does not hear any more itself it cannot vouch for.
    pub(super) fn vouched_for(&mut self, now: Instant, heard: &Heard) {
        let Heard { node, stamp, ago } = *heard;
        let ours = self.config.heartbeat;
        let Some(peer) = self.reception.peers.get_mut(node) else {
            return;
        };
        let newest = peer.latest.map_or(Duration::ZERO, |(newest, _)| newest);
        let every = peer.every(ours);
        if ago > every * 2 {
            return;
        }
        let late = newest + every;
        let mutual = &mut peer.mutual;
        let before = mutual.vouched.map_or(late, |(before, _)| before);
        if mutual.silent.is_some() && stamp > before {
            self.changed |= mutual.vouched.is_none();
            mutual.vouched = Some((stamp, now));
            self.judges = now;
        }
    }

    /// Asks to hear the members that are late, and gives up those that are not heard while the bus is well.
    pub(super) fn judge(&mut self, now: Instant) {
        let (ours, connected) = (self.config.heartbeat, self.pulse.connected);
        let Some(well) = self.pulse.well_since(now) else {
            self.judges = now + ours / 8;
            self.judge_itself(now);
            return;
        };
        let mut next = now + ours;
        let (mut silent, mut asks) = (Vec::new(), false);
        for (id, peer) in self.reception.peers.iter_mut() {
            let every = peer.every(ours);
            let late = every + slack(every.max(ours));
            if let Some((_, said)) = peer.mutual.vouched
                && now - said > late + every.max(ours)
            {
                // It is not heard by others any more.
                peer.mutual.vouched = None;
                self.changed = true;
            }
            if !peer.is_member() || peer.mutual.silent.is_some() {
                continue;
            }
            let since = peer.heard.max(well);
            // After an outage nodes come back one after the other.
            let lost = (since + late + every).max(connected + every.max(ours) * RETURN);
            if now > lost {
                peer.mutual.silent = Some(peer.heard);
                silent.push(id);
                continue;
            }
            next = next.min(lost);
            let due = since + late;
            let asked = peer.mutual.asked.map(|at| at + slack(every));
            let due = asked.map_or(due, |again| again.max(due));
            if now > due {
                peer.mutual.asked = Some(now);
                asks = true;
            } else {
                next = next.min(due);
            }
        }
        self.judges = next;
        if asks {
            self.pulse.hasten(now, self.apart(ours / 16));
        }
        if !silent.is_empty() {
            self.changed = true;
            // They may hear us, and are to know.
            self.pulse.hasten(now, self.apart(ours / 32));
        }
        for id in silent {
            self.reception.news.push(News::Silent(id));
        }
        self.judge_itself(now);
    }
}
