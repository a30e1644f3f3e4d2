//! The lanes that this node wants, has subscribed, and still keeps for a while.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use futures::channel::oneshot;

use crate::bus::Lane;
use crate::cluster::lanes::Lanes;
use crate::host::Host;
use crate::registry::{AssociateError, Reach};
use crate::time::Instant;

pub(super) struct Interest<H: Host> {
    lanes: Arc<Lanes<H>>,
    /// Whether the lane of external publishers is subscribed too.
    external: bool,
    /// How long a lane stays subscribed after its last member has left.
    cool_down: Duration,
    /// Lanes that may have to be subscribed.
    wanting: BTreeSet<Lane>,
    /// Lanes that the server of the open link has confirmed.
    confirmed: BTreeSet<Lane>,
    /// Lanes that are asked for one at a time, since the server does not take all of them, and those of them that it took.
    alone: VecDeque<Lane>,
    taken: Vec<Lane>,
    /// Lanes that the server of the open link does not take.
    full: BTreeSet<Lane>,
    cooling: Cooling,
    /// The calls that wait to learn how far a lane reaches.
    waiting: Vec<(Lane, oneshot::Sender<Result<Reach, AssociateError>>)>,
}

impl<H: Host> Interest<H> {
    pub(super) fn new(lanes: Arc<Lanes<H>>, external: bool, cool_down: Duration) -> Self {
        Self {
            lanes,
            external,
            cool_down,
            wanting: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            alone: VecDeque::new(),
            taken: Vec::new(),
            full: BTreeSet::new(),
            cooling: Cooling::default(),
            waiting: Vec::new(),
        }
    }

    /// What a new link subscribes first.
    pub(super) fn first(&self) -> Vec<Lane> {
        let mut lanes = self.lanes.all_wanted();
        lanes.extend(self.external.then_some(Lane::JSON));
        lanes
    }

    /// Answers `answer` once the lane is subscribed, or there is no link.
    pub(super) fn ask(
        &mut self,
        lane: Lane,
        answer: oneshot::Sender<Result<Reach, AssociateError>>,
    ) {
        self.full.remove(&lane);
        self.wanting.insert(lane);
        self.waiting.push((lane, answer));
    }

    /// Takes in which lanes got their first member or lost their last.
    pub(super) fn take_changes(&mut self, now: Instant) {
        for lane in self.lanes.changed() {
            if self.lanes.wanted(lane) {
                self.cooling.remove(lane);
                self.full.remove(&lane);
                self.wanting.insert(lane);
            } else {
                self.cooling.insert(lane, now + self.cool_down);
            }
        }
    }

    /// Whether the server of the open link has confirmed nothing yet.
    pub(super) fn is_unsubscribed(&self) -> bool {
        self.confirmed.is_empty()
    }

    /// The server does not take all of these lanes: each is asked for alone next, or was, and is refused.
    pub(super) fn refused(&mut self, mut lanes: Vec<Lane>) {
        if let [lane] = lanes[..] {
            self.full.insert(lane);
            return;
        }
        // The heartbeats' lane, then that of external publishers, then those of members.
        lanes.sort_by_key(|lane| (*lane != Lane(0), *lane != Lane::JSON, *lane));
        self.alone.extend(lanes);
    }

    /// The next lane to ask for alone.
    pub(super) fn next_alone(&mut self) -> Option<Lane> {
        self.alone.pop_front()
    }

    /// The server took these lanes. Gives all that it took, once none is left to be asked for alone.
    pub(super) fn took(&mut self, lanes: Vec<Lane>) -> Vec<Lane> {
        self.taken.extend(lanes);
        match self.alone.is_empty() {
            true => core::mem::take(&mut self.taken),
            false => Vec::new(),
        }
    }

    /// Whether lanes are still asked for alone.
    pub(super) fn asks_alone(&self) -> bool {
        !self.alone.is_empty()
    }

    /// The server has confirmed these lanes.
    pub(super) fn subscribed(&mut self, now: Instant, lanes: &[Lane]) {
        for lane in lanes {
            self.lanes.subscribed(*lane);
            // Of members that came and went meanwhile no change is recorded.
            if !self.lanes.wanted(*lane) {
                self.cooling.insert(*lane, now + self.cool_down);
            }
        }
        self.confirmed.extend(lanes);
    }

    /// The lanes that are wanted and not subscribed.
    pub(super) fn missing(&mut self) -> Vec<Lane> {
        let wanting = core::mem::take(&mut self.wanting);
        if wanting.is_empty() {
            return Vec::new();
        }
        let missing = wanting
            .into_iter()
            .filter(|lane| !self.confirmed.contains(lane) && self.lanes.wanted(*lane));
        missing.collect()
    }

    /// The lanes that had no member for the whole cool-down, which are given up.
    pub(super) fn cooled(&mut self, now: Instant) -> Vec<Lane> {
        let mut given_up = Vec::new();
        while let Some(lane) = self.cooling.take_due(now) {
            self.lanes.unsubscribed(lane);
            if self.lanes.wanted(lane) {
                if self.confirmed.contains(&lane) {
                    self.lanes.subscribed(lane);
                }
            } else if self.confirmed.remove(&lane) {
                given_up.push(lane);
            }
        }
        given_up
    }

    /// The link is gone, and with it every subscription.
    pub(super) fn link_lost(&mut self) {
        self.wanting.clear();
        self.cooling.clear();
        self.alone.clear();
        self.taken.clear();
        self.full.clear();
        for lane in core::mem::take(&mut self.confirmed) {
            self.lanes.unsubscribed(lane);
        }
    }

    /// The first instant from which events of the lane are owed to members, when the server of a link confirms it.
    pub(super) fn owed_since(&self, now: Instant, lane: Lane) -> Instant {
        // Of a lane that members join while there is a link, they are owed what comes once it is confirmed.
        let before = self
            .is_unsubscribed()
            .then(|| self.lanes.wanted_since(lane));
        before.flatten().unwrap_or(now)
    }

    /// Whether what others publish arrives.
    pub(super) fn set_live(&self, live: bool) {
        self.lanes.set_live(live);
    }

    /// Answers the calls whose lane is subscribed once the node is live, those whose lane the server does not take, and all
    /// of them if no link is `open`.
    pub(super) fn answer(&mut self, open: bool) {
        let live = open && self.lanes.is_live();
        for (lane, answer) in core::mem::take(&mut self.waiting) {
            if live && self.confirmed.contains(&lane) {
                let _ = answer.send(Ok(Reach::Everywhere));
            } else if open && self.full.contains(&lane) {
                let _ = answer.send(Err(AssociateError::BusFull));
            } else if open && self.lanes.wanted(lane) {
                self.waiting.push((lane, answer));
            } else {
                let _ = answer.send(Ok(Reach::Here));
            }
        }
    }

    /// When the next lane is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.cooling.due()
    }
}

/// Lanes without members, and until when they stay subscribed all the same. It is asked at every frame, and many may have
/// left at once.
#[derive(Default)]
struct Cooling {
    until: BTreeMap<Lane, Instant>,
    order: BTreeSet<(Instant, Lane)>,
}

impl Cooling {
    fn insert(&mut self, lane: Lane, until: Instant) {
        self.remove(lane);
        self.until.insert(lane, until);
        self.order.insert((until, lane));
    }

    fn remove(&mut self, lane: Lane) {
        if let Some(until) = self.until.remove(&lane) {
            self.order.remove(&(until, lane));
        }
    }

    fn due(&self) -> Option<Instant> {
        self.order.first().map(|(until, _)| *until)
    }

    fn take_due(&mut self, now: Instant) -> Option<Lane> {
        let (_, lane) = *self.order.first().filter(|(until, _)| *until <= now)?;
        self.remove(lane);
        Some(lane)
    }

    fn clear(&mut self) {
        self.until.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use futures::future::{BoxFuture, pending};

    use super::*;
    use crate::cluster::outgoing::Outgoing;
    use crate::host::SingleThread;
    use crate::lane_map::LaneMap;
    use crate::registry::{KeyRef, TargetWatcher};
    use crate::target::{Scope, Target};
    use crate::time::Timer;

    type Host = SingleThread<midplane::Lock>;

    const COOL_DOWN: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn target() -> Target {
        let target = |number| Target::topic(alloc::format!("t{number}")).unwrap();
        let elsewhere = |target: &Target| lane(target) != Lane(0);
        (0..).map(target).find(elsewhere).unwrap()
    }

    fn lane(target: &Target) -> Lane {
        LaneMap::new(8).lane(&Scope::default(), &target.clone().into())
    }

    /// A clock that shows one instant for ever.
    struct Still(Instant);

    impl Timer for Still {
        fn now(&self) -> Instant {
            self.0
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(pending())
        }
    }

    fn interest() -> (Arc<Lanes<Host>>, Interest<Host>) {
        let outgoing = Arc::new(Outgoing::new(1_024, Instant::MAX));
        let lanes = Arc::new(Lanes::new(8, outgoing, Arc::new(Still(at(1)))));
        (lanes.clone(), Interest::new(lanes, false, COOL_DOWN))
    }

    #[test]
    fn a_lane_is_subscribed_with_its_first_member_and_given_up_after_the_cool_down() {
        let (lanes, mut interest) = interest();
        let (scope, target) = (Scope::default(), target());
        let (key, lane) = (KeyRef::new(&scope, &target), lane(&target));
        interest.subscribed(at(0), &interest.first());
        lanes.target_gained(key);
        interest.take_changes(at(1));
        assert_eq!(interest.missing(), vec![lane]);
        interest.subscribed(at(1), &[lane]);
        lanes.target_lost(key);
        interest.take_changes(at(2));
        assert_eq!(interest.due(), Some(at(32)));
        assert_eq!(interest.cooled(at(31)), vec![]);
        assert_eq!(interest.cooled(at(32)), vec![lane]);
        assert_eq!(interest.due(), None);
    }

    /// Each frame asks which lanes are given up: with 65,536 that cool, each of them looked at, it took milliseconds.
    #[test]
    fn lanes_that_cool_cost_a_frame_nothing() {
        const FRAMES: usize = 1_000;
        let frames_take = |count: u32| {
            let outgoing = Arc::new(Outgoing::new(1_024, Instant::MAX));
            let lanes = Arc::new(Lanes::new(count, outgoing, Arc::new(Still(at(1)))));
            let mut interest: Interest<Host> = Interest::new(lanes, false, COOL_DOWN);
            let all: Vec<Lane> = (0..count).map(Lane).collect();
            interest.subscribed(at(1), &all);
            let before = std::time::Instant::now();
            for _ in 0..FRAMES {
                assert_eq!(interest.due(), Some(at(31)));
                assert_eq!(interest.cooled(at(30)), []);
            }
            let taken = before.elapsed();
            // All but the heartbeats' lane.
            assert_eq!(interest.cooled(at(31)).len(), all.len() - 1);
            assert_eq!(interest.due(), None);
            taken
        };
        let (few, many) = (frames_take(16), frames_take(65_536));
        // Were each looked at, many would take 4,096 times as long as few, and a second or more. The rest is for a busy machine.
        let most = few * 50 + Duration::from_millis(400);
        assert!(many < most, "{many:?}, and {few:?} with 16 lanes");
    }

    #[test]
    fn a_member_that_comes_back_keeps_the_lane() {
        let (lanes, mut interest) = interest();
        let (scope, target) = (Scope::default(), target());
        let (key, lane) = (KeyRef::new(&scope, &target), lane(&target));
        // The first member leaves before the server has confirmed the lane.
        interest.subscribed(at(1), &[lane]);
        assert_eq!(interest.due(), Some(at(31)));
        lanes.target_gained(key);
        assert_eq!(interest.cooled(at(31)), vec![]);
        interest.take_changes(at(31));
        assert_eq!(interest.missing(), vec![]);
    }

    /// Members that came before the link are owed what was published since they came.
    #[test]
    fn what_is_owed_begins_with_the_first_member_of_a_lane() {
        let (lanes, mut interest) = interest();
        let (scope, target) = (Scope::default(), target());
        let (key, lane) = (KeyRef::new(&scope, &target), lane(&target));
        assert_eq!(interest.owed_since(at(5), lane), at(5));
        lanes.target_gained(key);
        assert_eq!(interest.owed_since(at(5), lane), at(1));
        assert_eq!(interest.owed_since(at(5), Lane(0)), at(1));
        interest.subscribed(at(5), &[Lane(0)]);
        assert_eq!(interest.owed_since(at(6), lane), at(6), "the link is there");
        interest.subscribed(at(6), &[lane]);
        interest.link_lost();
        assert_eq!(interest.owed_since(at(7), lane), at(7), "it was subscribed");
    }

    #[test]
    fn a_reach_is_everywhere_when_the_server_has_confirmed_and_here_without_a_link() {
        let (lanes, mut interest) = interest();
        let (scope, target) = (Scope::default(), target());
        lanes.target_gained(KeyRef::new(&scope, &target));
        let lane = lane(&target);
        let ask = |interest: &mut Interest<Host>| {
            let (answer, receiver) = oneshot::channel();
            interest.ask(lane, answer);
            receiver
        };
        let mut asked = ask(&mut interest);
        interest.answer(true);
        assert_eq!(asked.try_recv(), Ok(None));
        interest.subscribed(at(1), &[lane]);
        interest.answer(true);
        assert_eq!(asked.try_recv(), Ok(None), "nothing has come yet");
        interest.set_live(true);
        interest.answer(true);
        assert_eq!(asked.try_recv(), Ok(Some(Ok(Reach::Everywhere))));
        interest.link_lost();
        let mut asked = ask(&mut interest);
        interest.answer(false);
        assert_eq!(asked.try_recv(), Ok(Some(Ok(Reach::Here))));
    }

    #[test]
    fn lanes_that_the_server_does_not_take_at_once_are_asked_for_alone() {
        let (_, mut interest) = interest();
        interest.refused(vec![Lane(5), Lane::JSON, Lane(0), Lane(3)]);
        let mut asked = Vec::new();
        while let Some(lane) = interest.next_alone() {
            asked.push(lane);
            match lane {
                Lane(5) => interest.refused(vec![lane]),
                _ => assert_eq!(interest.took(vec![lane]), []),
            }
        }
        assert_eq!(asked, [Lane(0), Lane::JSON, Lane(3), Lane(5)]);
        // All at once, so that what a link had before is not taken for given up.
        assert!(!interest.asks_alone());
        assert_eq!(interest.took(Vec::new()), [Lane(0), Lane::JSON, Lane(3)]);
    }

    #[test]
    fn a_join_of_a_lane_that_the_server_does_not_take_is_refused_and_tried_again_by_the_next() {
        let (lanes, mut interest) = interest();
        let (scope, target) = (Scope::default(), target());
        lanes.target_gained(KeyRef::new(&scope, &target));
        let lane = lane(&target);
        for _ in 0..2 {
            let (answer, mut asked) = oneshot::channel();
            interest.ask(lane, answer);
            interest.answer(true);
            assert_eq!(asked.try_recv(), Ok(None));
            assert_eq!(interest.missing(), [lane]);
            interest.refused(vec![lane]);
            interest.answer(true);
            assert_eq!(asked.try_recv(), Ok(Some(Err(AssociateError::BusFull))));
        }
    }
}
