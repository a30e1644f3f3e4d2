//! What is known of one other node.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::clock::PeerClock;
use super::flow::Flow;
use super::mutual::Mutual;
use super::view::View;
use crate::bus::Lane;
use crate::envelope::Introduction;
use crate::node_id::NodeId;
use crate::time::Instant;

/// How a node stands to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A name in a frame: nothing shows yet that the frame was made after we came.
    Unproven,
    /// A heartbeat named a stamp of ours, and heartbeats come.
    Member,
    /// A member that is not heard for long.
    Silent,
    /// A node that said goodbye.
    Left,
}

/// The lanes that a node which left had used.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLanes {
    /// The last number of each, and when it was used, on the node's clock.
    pub(super) lanes: Vec<(u32, u64, Duration)>,
    /// From when on, on the node's clock, every lane is listed that was used.
    pub(super) since: Duration,
}

/// The turn of names that were heard once, and may be made up.
pub(super) const ONCE: u8 = 2;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) version: String,
    /// How the node introduces itself.
    pub(super) introduction: Option<Box<Introduction>>,
    pub(super) mutual: Mutual,
    /// When the node sent last, by its clock, on lanes of a number that is not ours.
    pub(super) other_lanes: Duration,
    /// Whether the node is of another cluster: nothing of it is taken.
    pub(super) foreign: bool,
    pub(super) standing: Standing,
    /// Whether the node ever was a member: what it sent is delivered, and its loss reported.
    pub(super) proven: bool,
    /// When anything of the node was heard last, by us or by a member that said so.
    pub(super) heard: Instant,
    /// Whether a heartbeat of the node was heard, by us or by a member that said so.
    pub(super) lives: bool,
    /// The stamp of the newest heartbeat, when it came, and whether one came before or a member named the node.
    pub(super) beat: Option<(Duration, Instant)>,
    pub(super) again: bool,
    /// Of a node that nothing proves to live, when it published last on a lane of ours, at the latest.
    pub(super) published: Option<Instant>,
    /// Since when heartbeats come that do not name us, or when it was told last what they cost.
    pub(super) unanswered: Option<Instant>,
    /// When the node heard the newest stamp of ours that a heartbeat named, by its clock.
    pub(super) dated: Duration,
    /// Between which stamps every lane that was used was listed by one of the heartbeats that came.
    listed: (Duration, Duration),
    /// The stamp of the newest frame without events, and when it came.
    pub(super) latest: Option<(Duration, Instant)>,
    /// When a heartbeat of ours named the node last, and whether the node waits to be named.
    pub(super) named: Option<Instant>,
    pub(super) owed: bool,
    /// When it was reported that we may have missed what the node sent last.
    pub(super) deaf: Option<Instant>,
    /// What is said to others of a node that left, and when what did not come of it is given up.
    pub(super) last: Option<LastLanes>,
    pub(super) settles: Option<Instant>,
    /// What the node stamped before this is reported as missed, and not received.
    pub(super) fresh: Duration,
    /// The last question of the node that was taken.
    pub(super) question: u64,
    /// When the node was asked last to send something again.
    pub(super) asked: Instant,
    pub(super) clock: PeerClock,
    /// Boxed, for a map has room for eleven, and most peers have one or two.
    pub(super) flows: BTreeMap<Lane, Box<Flow>>,
    /// Of lanes that were unsubscribed lately, before when what was received is stamped: none of it is to come twice.
    parted: BTreeMap<Lane, Duration>,
}

/// What the flows of every peer are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) heartbeat: Duration,
    pub(super) time_to_live: Duration,
    pub(super) jitter: Duration,
}

impl Moment {
    fn view<'a>(
        self,
        (clock, introduction): (&'a PeerClock, Option<&Introduction>),
        since: Instant,
        (dated, listed): (Duration, (Duration, Duration)),
        proven: bool,
    ) -> View<'a> {
        let settings = introduction.map(|introduction| introduction.settings);
        let every = settings.map_or(Duration::ZERO, |settings| settings.heartbeat);
        let theirs = settings.map_or(Duration::MAX, |settings| settings.time_to_live);
        View {
            now: self.now,
            heartbeat: self.heartbeat.max(every),
            time_to_live: self.time_to_live.min(theirs),
            since,
            clock,
            dated,
            listed,
            proven,
            jitter: self.jitter,
        }
    }
}

impl Peer {
    pub(super) fn new(heard: Instant) -> Self {
        Self {
            version: String::new(),
            introduction: None,
            mutual: Mutual::default(),
            other_lanes: Duration::ZERO,
            foreign: false,
            standing: Standing::Unproven,
            proven: false,
            heard,
            lives: false,
            beat: None,
            again: false,
            published: None,
            unanswered: None,
            dated: Duration::ZERO,
            listed: (Duration::ZERO, Duration::ZERO),
            latest: None,
            named: None,
            owed: false,
            deaf: None,
            last: None,
            settles: None,
            fresh: Duration::ZERO,
            question: 0,
            asked: Instant::ZERO,
            clock: PeerClock::default(),
            flows: BTreeMap::new(),
            parted: BTreeMap::new(),
        }
    }

    /// The time between two heartbeats of the node: as the node says, or else as ours.
    pub(super) fn every(&self, ours: Duration) -> Duration {
        let introduction = self.introduction.as_ref();
        introduction.map_or(ours, |introduction| introduction.settings.heartbeat)
    }

    pub(super) fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// The latest stamp that the node can have made by now, if that is known; clocks may drift a little.
    pub(super) fn latest_stamp(&self, now: Instant, heartbeat: Duration) -> Duration {
        self.clock.latest(now).saturating_add(heartbeat / 16)
    }

    /// Whether the peer is a member that is heard.
    pub(super) fn is_heard(&self) -> bool {
        self.is_member() && self.mutual.silent.is_none()
    }

    /// Whether a member and this node hear each other.
    pub(super) fn is_mutual(&self) -> bool {
        self.is_heard() && self.mutual.deaf.is_none()
    }

    /// Whether the peer went silent here, and others hear it.
    pub(super) fn lives_elsewhere(&self) -> bool {
        self.mutual.silent.is_some() && self.mutual.vouched.is_some()
    }

    /// Whether the peer went silent, and what it sent last is not reported as missed yet.
    pub(super) fn is_missed(&self) -> bool {
        let stands = matches!(self.standing, Standing::Member | Standing::Silent);
        stands && self.mutual.silent.is_some() && (self.deaf.is_none() || self.lives_elsewhere())
    }

    /// The node's name for people, or else this id of the node.
    pub(super) fn name(&self, id: NodeId) -> String {
        match &self.introduction {
            Some(introduction) => introduction.name_of(id),
            None => id.to_string(),
        }
    }

    /// Whether heartbeats come that do not name us yet.
    pub(super) fn is_new(&self) -> bool {
        self.standing == Standing::Unproven && self.beat.is_some() && !self.foreign
    }

    /// When it was told last that nothing is taken of the node, as it never named us.
    pub(super) fn told_unanswered(&self) -> Option<Instant> {
        self.unanswered
            .filter(|_| !self.proven && self.mutual.deaf.is_some())
    }

    /// Whether the last heartbeat of ours that named the node was made in this time.
    pub(super) fn is_named_within(&self, begin: Instant, end: Instant) -> bool {
        self.named.is_some_and(|at| begin <= at && at <= end)
    }

    /// In which turn a heartbeat names the node: those that wait for it first, and of those the ones that are proven to live,
    /// then the ones that spoke more than once. A name can be made up for each frame.
    pub(super) fn turn(&self) -> u8 {
        match (self.owed, self.proven, self.again) {
            (true, true, _) => 0,
            (true, false, true) => 1,
            (true, false, false) => ONCE,
            (false, ..) => 3,
        }
    }

    /// Whether what did not come of a node that is gone is still to be told.
    pub(super) fn is_untold(&self) -> bool {
        let left = self.standing == Standing::Left;
        let told = self.deaf.is_some() || (left && self.settles.is_none());
        self.proven && !told
    }

    /// Whether the node would send again what it is asked for.
    pub(super) fn repairs(&self) -> bool {
        matches!(self.standing, Standing::Member | Standing::Silent)
    }

    /// The flow of a lane that is ours to receive since then, and what the flow is judged by.
    pub(super) fn flow(&mut self, at: Moment, lane: Lane, since: Instant) -> (&mut Flow, View<'_>) {
        let proven = self.proven;
        let Self {
            clock,
            flows,
            dated,
            listed,
            fresh,
            parted,
            introduction,
            ..
        } = self;
        let flow = flows.entry(lane).or_insert_with(|| {
            let parted = parted.remove(&lane);
            Box::new(Flow::new(parted.unwrap_or_default().max(*fresh)))
        });
        let heard = (*dated, *listed);
        let view = at.view((clock, introduction.as_deref()), since, heard, proven);
        (flow, view)
    }

    /// When something of the lane's flow is due.
    pub(super) fn due(&self, at: Moment, lane: Lane) -> Option<Instant> {
        let known = (&self.clock, self.introduction.as_deref());
        let heard = (self.dated, self.listed);
        let view = at.view(known, Instant::ZERO, heard, self.proven);
        self.flows.get(&lane)?.due(&view)
    }

    /// Between which stamps every lane that was used was listed.
    pub(super) fn listed(&self) -> (Duration, Duration) {
        self.listed
    }

    /// The node lists the lanes that it used from this stamp on: others it does not keep anything of. Gives the stamps
    /// between which its heartbeats listed every lane until then.
    pub(super) fn lists(&mut self, since: Duration, sent: Duration) -> (Duration, Duration) {
        self.parted.retain(|_, newest| *newest >= since);
        let listed = self.listed;
        let begin = if since <= listed.1 {
            since.min(listed.0)
        } else {
            since
        };
        self.listed = (begin, sent);
        listed
    }

    /// The lane is not received any more. Gives the bytes that were held.
    pub(super) fn part(&mut self, lane: Lane) -> usize {
        let Some(flow) = self.flows.remove(&lane) else {
            return 0;
        };
        self.parted.insert(lane, flow.behind());
        flow.held_bytes()
    }

    /// A node that was forgotten is heard again: what it stamped before this is not to be received.
    pub(super) fn come_back(&mut self, fresh: Duration) {
        self.fresh = fresh;
        self.flows
            .values_mut()
            .for_each(|flow| flow.begin_at(fresh));
    }

    /// The link is gone.
    pub(super) fn disconnected(&mut self) {
        self.flows.values_mut().for_each(|flow| flow.disconnected());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane(3);

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Before when the flow of the lane takes everything for received.
    fn behind(peer: &mut Peer) -> Duration {
        let moment = Moment {
            now: Instant::from_origin(secs(9)),
            heartbeat: secs(2),
            time_to_live: secs(30),
            jitter: Duration::ZERO,
        };
        peer.flow(moment, LANE, Instant::ZERO).0.behind()
    }

    /// A peer of which a frame came on the lane that was stamped with 5 s, before the lane was left.
    fn parted() -> Peer {
        let mut peer = Peer::new(Instant::ZERO);
        behind(&mut peer);
        let flow = peer.flows.get_mut(&LANE).unwrap();
        flow.passed(7, secs(5), Duration::ZERO);
        assert_eq!(peer.part(LANE), 0);
        peer
    }

    #[test]
    fn a_lane_that_is_left_and_subscribed_anew_brings_nothing_twice() {
        let mut peer = parted();
        assert!(behind(&mut peer) > secs(5));
        // Left again before anything came.
        peer.part(LANE);
        assert!(behind(&mut peer) > secs(5));
    }

    #[test]
    fn a_lane_that_its_origin_keeps_nothing_of_is_forgotten() {
        let mut peer = parted();
        peer.lists(secs(5), secs(8));
        peer.lists(secs(6), secs(9));
        assert!(behind(&mut peer) < secs(1));
    }
}
