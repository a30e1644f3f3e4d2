//! What a node makes of what others say: their heartbeats, asks, answers and goodbyes.

use core::time::Duration;

use super::Node;
use super::news::News;
use super::peer::{LastLanes, Standing};
use super::peers::{LEFT_LANES, NamesLeft, Overdue};
use crate::bus::Lane;
use crate::envelope::{Ask, Departures, Frame, Heard, Heartbeat, Left, Message};
use crate::node_id::NodeId;
use crate::time::Instant;

/// Whether a frame with this stamp says more than the newest one before. One that came longer ago than `patience` was forged,
/// for nodes say something every heartbeat, with a stamp that is later each time.
fn is_newer(
    before: Option<(Duration, Instant)>,
    stamp: Duration,
    now: Instant,
    patience: Duration,
) -> bool {
    before.is_none_or(|(newest, came)| newest < stamp || now - came > patience)
}

/// How long after its newest stamp came that of a node with such heartbeats is not taken for true any more: never, where
/// nobody forges one.
fn patience(every: Duration, requires: bool) -> Duration {
    match requires {
        true => Duration::MAX,
        false => every * 2,
    }
}

impl Node {
    pub(super) fn receive_other(&mut self, now: Instant, frame: Frame) {
        let header = *frame.header();
        let (origin, lane) = (header.origin, Lane(header.lane));
        let heartbeat = self.config.heartbeat;
        let ours = lane.0 < self.config.lanes;
        if ours {
            self.reception.admit(now, origin);
        }
        let full = self.reception.peers.is_full();
        let peer = self.reception.peers.get_mut(origin);
        let Some(peer) =
            peer.filter(|peer| ours && header.stamp <= peer.latest_stamp(now, heartbeat))
        else {
            self.reception.counters.implausible += 1;
            return;
        };
        // A recording is no sign of life.
        let newest = peer.latest.map(|(newest, _)| newest);
        if !self.gate.requires() || newest < Some(header.stamp) {
            peer.heard = now;
        }
        if peer.foreign {
            self.reception.counters.foreign += 1;
            return;
        }
        let beyond = full && !peer.proven;
        if !peer.proven && header.first > 0 && self.reception.lanes.since(lane).is_some() {
            peer.published = Some(now);
        }
        match header.first {
            0 => self.receive_control(now, origin, &frame),
            _ if beyond => {}
            _ => self.reception.receive(now, frame),
        }
        if beyond {
            self.turn_away(now, origin);
        }
    }

    /// A frame without events came.
    fn receive_control(&mut self, now: Instant, origin: NodeId, frame: &Frame) {
        let stamp = frame.header().stamp;
        let (ours, requires) = (self.config.heartbeat, self.gate.requires());
        if let Some(peer) = self.reception.peers.get_mut(origin)
            && is_newer(
                peer.latest,
                stamp,
                now,
                patience(peer.every(ours), requires),
            )
        {
            peer.latest = Some((stamp, now));
        }
        let mut departures = Departures::default();
        for (_, message) in frame.messages() {
            match message {
                Ok(Message::Departures(said)) => departures = said,
                Ok(Message::Introduction(introduction)) => {
                    if !self.take_introduction(origin, stamp, introduction) {
                        self.reception.counters.foreign += 1;
                        return;
                    }
                }
                Ok(Message::Contact(contact)) => self.take_contact(now, origin, stamp, &contact),
                Ok(Message::Heartbeat(heartbeat)) => {
                    self.receive_heartbeat(now, origin, stamp, &heartbeat, &departures);
                }
                Ok(Message::Ask(ask)) => self.receive_ask(now, origin, &ask),
                Ok(Message::Answer { to, id, answer }) if to == self.id => {
                    self.receive_answer(now, origin, id, answer);
                }
                Ok(Message::Answer { .. }) => {}
                Ok(Message::Question {
                    id,
                    scope,
                    question,
                }) => {
                    let ours = self.reception.lanes.first();
                    let peer = self.reception.peers.get_mut(origin);
                    let ttl = self.config.time_to_live;
                    if let Some(peer) = peer
                        && (!requires || (peer.proven && peer.clock.ours(stamp) >= ours))
                        && id > peer.question
                        && peer.clock.age(now, stamp) <= ttl
                    {
                        peer.question = id;
                        self.reception.news.push(News::Asked {
                            origin,
                            id,
                            scope,
                            question,
                        });
                    }
                }
                Ok(_) => self.reception.counters.unknown_kinds += 1,
                Err(_) => self.reception.counters.malformed += 1,
            }
        }
    }

    fn receive_heartbeat(
        &mut self,
        now: Instant,
        origin: NodeId,
        sent: Duration,
        heartbeat: &Heartbeat,
        departures: &Departures,
    ) {
        let requires = self.gate.requires();
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return;
        };
        let every = peer.every(self.config.heartbeat);
        let windows = self.config.clock_windows(every);
        if !is_newer(peer.beat, sent, now, patience(every, requires)) {
            self.reception.counters.duplicates += 1;
            return;
        }
        let before = peer.beat.replace((sent, now));
        let hurries = before.is_some_and(|(_, came)| now - came < every / 2);
        peer.unanswered.get_or_insert(now);
        // A recording can be proven by nothing but that it names what is new.
        peer.lives |= !requires;
        let lived = before.filter(|_| peer.proven);
        peer.clock.heard(now, sent, windows);
        peer.version.clone_from(&heartbeat.version);
        // Who does not know yet that we hear it is told soon.
        let unnamed = peer.named.is_none() || heartbeat.hello;
        peer.owed |= unnamed;
        if !peer.proven {
            self.changed |= peer.deaf.take().is_some();
            let lanes = &self.reception.lanes;
            let published = heartbeat.lanes.iter().filter_map(|used| {
                let since = lanes.since(Lane(used.lane))?;
                let at = now - sent.saturating_sub(used.at);
                (used.last > 0 && at > since).then_some(at)
            });
            peer.published = peer.published.max(published.max());
        }
        if let Some((stamp, came)) = lived {
            self.report_standstill(now, came, sent.saturating_sub(stamp));
        }
        if before.is_some() {
            self.reception.peers.came_again(origin);
        }
        self.heard_again(origin);
        if !requires {
            self.recall(now, origin, sent);
        }
        self.take_echo(now, origin, sent, &heartbeat.heard);
        self.reception.report(now, origin, sent, heartbeat);
        self.report_other_lanes(now, origin, heartbeat);
        let peer = self.reception.peers.get(origin);
        let proven = peer.is_some_and(|peer| peer.proven);
        if proven {
            self.take_hearsay(now, heartbeat, departures);
        }
        self.awaited.remove(&origin);
        if heartbeat.goodbye && (proven || !requires) {
            let lanes = heartbeat.lanes.iter();
            let lanes = lanes.map(|lane| (lane.lane, lane.last, lane.at)).collect();
            // The parts before were reported as they came.
            let partial = heartbeat.partial;
            let since = if partial {
                Duration::ZERO
            } else {
                heartbeat.since
            };
            self.part(now, origin, now, LastLanes { lanes, since });
            if let Some(peer) = self.reception.peers.get_mut(origin)
                && partial
            {
                // Others would take the lanes of this part for all.
                peer.last = None;
            }
        }
        if unnamed {
            if heartbeat.hello {
                self.names_left = Some(NamesLeft::ALL);
            }
            if hurries || !proven {
                self.greetings.add(now, self.config.heartbeat);
            }
            let members = self.reception.peers.count();
            let pause = self.answers_after(members).max(self.names_after(now));
            self.pulse.hasten(now, pause);
            self.pulse.tick(now);
        }
    }

    /// A node is heard again. If it was forgotten, which of its events came is not known any more: what it stamped before
    /// this is not received, so that none comes twice, and it is reported.
    fn recall(&mut self, now: Instant, origin: NodeId, stamp: Duration) {
        let Some(heard) = self.reception.peers.recall(origin) else {
            return;
        };
        if let Some(peer) = self.reception.peers.get_mut(origin) {
            peer.come_back(stamp);
        }
        self.reception.news.deaf(Some(origin), None, (heard, now));
    }

    /// The origin names a stamp of ours that it heard: it lives, and our frames come to it.
    fn take_echo(&mut self, now: Instant, origin: NodeId, sent: Duration, heard: &[Heard]) {
        let Some(echo) = heard.iter().find(|heard| heard.node == self.id) else {
            return;
        };
        let Some(made) = self.pulse.made_at(echo.stamp) else {
            return;
        };
        let peer = self.reception.peers.get(origin);
        if let Some(peer) = peer.filter(|peer| !peer.is_member()) {
            if now - made > self.config.lost_after(peer.every(self.config.heartbeat)) {
                // It may be a recording: who lives names something newer soon.
                return;
            }
            self.recall(now, origin, sent);
        }
        if !self.reception.place(now, origin) {
            return;
        }
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return;
        };
        peer.lives = true;
        let made_at = made;
        let made = made.since_origin();
        let windows = self.config.clock_windows(peer.every(self.config.heartbeat));
        let news = peer.clock.echoed(now, sent, made, echo.ago, windows);
        peer.deaf = None;
        // What the clocks did after our frame was heard this heartbeat does not say.
        peer.dated = peer.dated.max(sent.saturating_sub(echo.ago));
        if !peer.is_member() {
            (peer.settles, peer.last) = (None, None);
            self.reception.peers.stand(origin, Standing::Member);
            self.reception.news.push(News::Joined(origin));
            self.changed = true;
            self.bridge(origin);
            self.say_differences(origin);
        }
        self.heard_us(origin, made_at);
        if news {
            self.reception.distrust(now, origin);
        }
        self.reception.confirmed(now, origin, echo.stamp, sent);
    }

    /// A member names nodes that it heard, and others that left.
    fn take_hearsay(&mut self, now: Instant, heartbeat: &Heartbeat, departures: &Departures) {
        let ours = self.reception.lanes.first();
        for heard in &heartbeat.heard {
            // One that lived when events were ours already may have sent some, even if it died before this link began: up
            // to a heartbeat after it was heard.
            let at = now - heard.ago;
            let lived = |ours| heard.ago <= now - ours + self.config.heartbeat;
            // What came of it may be all that it says, as where its clock stands.
            let known = self.reception.peers.get(heard.node);
            let speaks = |ours| known.is_some_and(|peer| peer.heard > ours);
            if heard.node == self.id || !ours.is_some_and(|ours| lived(ours) || speaks(ours)) {
                continue;
            }
            self.reception.admit(at, heard.node);
            self.reception.peers.came_again(heard.node);
            if let Some(peer) = self.reception.peers.get_mut(heard.node) {
                peer.lives = true;
                if peer.deaf.is_some_and(|reported| reported < at) {
                    // It came back to others: what it sent since may be missing here.
                    (peer.deaf, peer.heard) = (None, peer.heard.max(at));
                    self.changed = true;
                }
            }
            self.vouched_for(now, heard);
        }
        for left in &heartbeat.left {
            let Left { node, ago, lanes } = left;
            let at = now - *ago;
            let known = self.reception.peers.get(*node);
            if *node == self.id || known.is_some_and(|peer| peer.standing == Standing::Left) {
                continue;
            }
            if known.is_some_and(|peer| peer.heard > at + self.config.heartbeat) {
                continue;
            }
            self.reception.admit(at, *node);
            let (lanes, since) = (lanes.clone(), departures.since(*node));
            self.part(now, *node, at, LastLanes { lanes, since });
        }
    }

    /// The node has left, and had used these numbers.
    fn part(&mut self, now: Instant, node: NodeId, at: Instant, last: LastLanes) {
        let settles = at.max(self.pulse.connected) + self.config.heartbeat * 2;
        let Some(peer) = self.reception.peers.get_mut(node) else {
            return;
        };
        let known = peer.proven;
        (peer.heard, peer.settles) = (at, known.then_some(settles));
        // A node that used more lanes is not named to others.
        peer.last = (last.lanes.len() <= LEFT_LANES).then(|| last.clone());
        let ours = self.reception.lanes.first().filter(|ours| *ours < at);
        if let Some(ours) = ours.filter(|_| !known) {
            // Nothing of it was received.
            let begin = peer.beat.map(|_| peer.clock.theirs(ours));
            let remembered = self.config.remembered_of(peer.every(self.config.heartbeat));
            let unlisted = match begin {
                Some(begin) => last.since > begin,
                None => !last.since.is_zero() && now - ours > remembered,
            };
            let mut lanes = last.lanes.iter();
            if unlisted || lanes.any(|(.., used)| begin.is_none_or(|begin| *used >= begin)) {
                self.reception.news.deaf(Some(node), None, (ours, at));
            }
        }
        peer.mutual.silent = None;
        let stood = self.reception.peers.stand(node, Standing::Left);
        if matches!(stood, Some(Standing::Member | Standing::Silent)) {
            self.reception.news.push(News::Left(node));
        }
        self.changed = true;
        self.unsay_differences(node);
        self.bridge(node);
        // Anybody may say goodbye in a name that is made up, on every lane.
        let last = if known { last } else { LastLanes::default() };
        self.reception.left(now, node, last);
        self.awaited.remove(&node);
        self.forget_answers_of(now, node);
    }

    pub(super) fn receive_ask(&mut self, now: Instant, from: NodeId, ask: &Ask) {
        if ask.to != self.id {
            self.reception.overheard(now, ask.to, &ask.runs);
            return;
        }
        if let Some(peer) = self.reception.peers.get_mut(from) {
            peer.owed = true;
        }
        let linger = self.config.heartbeat / 16;
        self.origin.want(now, &ask.runs, linger);
        self.pulse.hasten(now, linger);
        self.pulse.tick(now);
    }

    /// Reports the nodes that are not heard any more, and forgets those that are long gone.
    pub(super) fn report_silence(&mut self, now: Instant) {
        let (peers, connected) = (&self.reception.peers, self.pulse.connected);
        for (id, overdue) in peers.overdue(now, connected, &self.config) {
            match overdue {
                Overdue::Silent => self.silence(id),
                Overdue::Settled => self.reception.settle(now, id),
                Overdue::Unanswered => self.tell_unanswered(now, id),
                Overdue::Lost => self.lose(now, id),
                Overdue::Forgotten => {
                    self.reception.forget(id);
                    self.unsay_differences(id);
                    self.changed = true;
                }
            }
        }
    }

    fn silence(&mut self, id: NodeId) {
        self.reception.peers.stand(id, Standing::Silent);
        self.changed = true;
        let Some(peer) = self.reception.peers.get_mut(id) else {
            return;
        };
        if peer.mutual.silent.is_none() {
            peer.mutual.silent = Some(peer.heard);
            self.reception.news.push(News::Silent(id));
        }
    }

    /// A node is heard and never names us. It does not hear us, or is forged: nothing of it is taken, which is told, unless
    /// that node says that it takes nothing of us either.
    fn tell_unanswered(&mut self, now: Instant, id: NodeId) {
        let since = self.reception.lanes.first().unwrap_or(now);
        let refused = self.reception.peers.get(id);
        let refused = refused.is_some_and(|peer| self.is_refused_by(peer));
        let Some(peer) = self.reception.peers.get_mut(id) else {
            return;
        };
        let told = peer.unanswered.replace(now);
        if refused {
            return;
        }
        let since = match peer.mutual.deaf.replace(now) {
            Some(_) => told.unwrap_or(since),
            None => since,
        };
        self.changed = true;
        self.reception.news.deaf(Some(id), None, (since, now));
    }

    /// A node is not heard any more: what it sent last nobody will send again.
    fn lose(&mut self, now: Instant, id: NodeId) {
        let since = self.reception.lanes.first().unwrap_or(now);
        let Some(peer) = self.reception.peers.get_mut(id) else {
            return;
        };
        peer.deaf = Some(now);
        self.changed = true;
        // What an origin sent that was never proven to live waits still.
        let beat = peer.beat.filter(|_| peer.proven);
        let beat = beat.map(|(beat, _)| peer.clock.ours_at_least(beat));
        let since = beat
            .or_else(|| peer.told_unanswered())
            .unwrap_or(since)
            .max(since);
        if peer.is_member() {
            self.silence(id);
        }
        self.awaited.remove(&id);
        self.reception.news.deaf(Some(id), None, (since, now));
        self.reception.settle(now, id);
    }
}
