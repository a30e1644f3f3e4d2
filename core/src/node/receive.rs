//! What a node makes of the frames that arrive.

use core::time::Duration;

use super::news::News;
use super::peer::{Peer, Since};
use super::run::Run;
use super::sequence::Arrival;
use super::{LinkHealth, Node};
use crate::bus::Lane;
use crate::envelope::{Frame, Heartbeat, Message};
use crate::node_id::NodeId;
use crate::time::Instant;

/// For how many heartbeats what one of them says may stand unconfirmed.
const WINDOW: u32 = 4;

impl Node {
    pub(super) fn receive_own(&mut self, now: Instant, frame: &Frame) {
        if let Some(heartbeat) = frame.own_heartbeat() {
            let unheard = &mut self.unheard;
            if let Some(at) = unheard.iter().position(|sent| same(*sent, heartbeat.sent)) {
                self.proven = unheard.get(at).copied();
                unheard.drain(..=at);
            }
        }
        self.go_live(now);
    }

    pub(super) fn receive_other(&mut self, now: Instant, frame: &Frame) {
        let origin = frame.header().origin;
        let lane = Lane(frame.header().lane);
        if lane.0 >= self.config.lanes || !self.admit(now, origin) {
            self.counters.implausible += 1;
            return;
        }
        let ours = self.first_live.is_some() && self.subscribed.contains_key(&lane);
        let apart = self.config.heartbeat / 2;
        let mut stale = false;
        for (number, message) in frame.messages() {
            let Some(peer) = self.peers.get_mut(&origin) else {
                return;
            };
            peer.heard = now;
            if let Ok(Message::Stamp(sent)) = message {
                stale = peer.age(now, sent, apart) > self.config.time_to_live;
            }
            let new = match peer.arrive(lane, number, ours) {
                Arrival::New(missing) => {
                    self.gap(now, origin, lane, missing);
                    true
                }
                Arrival::Old => {
                    self.counters.duplicates += 1;
                    false
                }
                Arrival::Far => {
                    self.counters.implausible += 1;
                    false
                }
            };
            let lost = match message {
                Ok(Message::Stamp(_)) => false,
                // It counts whatever its number is: this is how a forged one is found out.
                Ok(Message::Heartbeat(heartbeat)) => {
                    self.heartbeat(now, origin, &heartbeat);
                    false
                }
                _ if !new => false,
                Ok(Message::Goodbye) => {
                    self.receive_goodbye(now, origin);
                    false
                }
                Ok(Message::Answer { to, id, answer }) => {
                    if to == self.id {
                        self.receive_answer(now, origin, id, answer);
                    }
                    false
                }
                Ok(Message::Publish { .. } | Message::Question { .. }) if stale => {
                    self.counters.stale += 1;
                    true
                }
                Ok(Message::Publish {
                    scope,
                    audience,
                    event,
                }) => {
                    self.news.push_back(News::Event {
                        scope,
                        audience,
                        event,
                    });
                    false
                }
                Ok(Message::Question {
                    id,
                    scope,
                    question,
                }) => {
                    self.news.push_back(News::Asked {
                        origin,
                        id,
                        scope,
                        question,
                    });
                    false
                }
                Ok(Message::Unknown { .. }) => {
                    self.counters.unknown_kinds += 1;
                    true
                }
                Err(_) => {
                    self.counters.malformed += 1;
                    true
                }
            };
            if lost {
                self.gap(now, origin, lane, Some(Run::of(number)));
            }
        }
    }

    fn heartbeat(&mut self, now: Instant, origin: NodeId, heartbeat: &Heartbeat) {
        let (since, window) = (self.since(), self.config.heartbeat * WINDOW);
        let Some(peer) = self.peers.get_mut(&origin) else {
            return;
        };
        let joined = !peer.member;
        let shown = peer.beat(now, window, heartbeat, self.config.lanes, &since);
        if joined {
            self.news.push_back(News::Joined(origin));
        }
        if let Some((since, until)) = shown.unreported {
            let origin = Some(origin);
            self.news.push_back(News::Deaf {
                origin,
                lane: None,
                since,
                until,
            });
        }
        for (lane, run) in shown.missing {
            self.gap(now, origin, lane, Some(run));
        }
        // Who has just come needs to know how far our numbers are. One answer serves all who come together.
        if heartbeat.hello {
            self.next_beat = self
                .next_beat
                .min(now.max(self.last_beat + self.answers_after()));
            if now >= self.next_beat && self.link != LinkHealth::Down {
                self.beat(now, false);
            }
        }
    }

    /// Since when what is sent on each lane is ours to account for.
    fn since(&self) -> Since {
        let Some(live) = self.first_live else {
            return Since::new();
        };
        let since = self
            .subscribed
            .iter()
            .map(|(lane, heard)| (*lane, live.max(*heard)));
        since.collect()
    }

    fn gap(&mut self, now: Instant, origin: NodeId, lane: Lane, run: Option<Run>) {
        let ours = self.first_live.is_some() && self.subscribed.contains_key(&lane);
        let Some(run) = run.filter(|_| ours) else {
            return;
        };
        // A frame of which nothing is delivered is one gap.
        if let Some(News::Gap {
            origin: of,
            lane: on,
            run: before,
            until,
            ..
        }) = self.news.back_mut()
            && (*of, *on) == (origin, lane)
            && before.last.checked_add(1) == Some(run.first)
        {
            before.last = run.last;
            *until = now;
            return;
        }
        let (since, until) = (now, now);
        self.news.push_back(News::Gap {
            origin,
            lane,
            run,
            since,
            until,
        });
    }

    /// Makes room for the origin, if it is new: a peer that is no member gives way.
    fn admit(&mut self, now: Instant, origin: NodeId) -> bool {
        if self.peers.contains_key(&origin) {
            return true;
        }
        if self.peers.len() >= self.config.peers {
            let others = self.peers.iter().filter(|(_, peer)| !peer.member);
            let Some(oldest) = others.min_by_key(|(_, peer)| peer.heard).map(|(id, _)| *id) else {
                return false;
            };
            self.peers.remove(&oldest);
        }
        self.peers.insert(origin, Peer::new(now));
        true
    }
}

fn same(ours: Instant, reported: Duration) -> bool {
    ours.since_origin().as_micros() == reported.as_micros()
}
