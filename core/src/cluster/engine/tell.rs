//! What the driver tells: the host what the node says, and whoever waits what has come about.

use alloc::string::{String, ToString};

use super::{Engine, Phase};
use crate::cluster::outgoing::Answered;
use crate::cluster::session::Job;
use crate::host::Host;
use crate::node::News;
use crate::notice::Notice;
use crate::receipt::{FlushError, State};
use crate::registry::Reach;
use crate::time::Instant;

impl<H: Host> Engine<H> {
    /// Hands what the node says to whom it concerns; true if it said anything.
    pub(super) fn take_news(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(news) = self.node.news() {
            any = true;
            match news {
                News::Event {
                    scope,
                    audience,
                    event,
                } => {
                    self.registry.deliver(&scope, &audience, &event);
                }
                News::Gap { origin, lane, run } => {
                    self.notices.tell(&Notice::Gap { origin, lane, run });
                }
                News::Deaf {
                    origin,
                    since,
                    until,
                } => self.notices.tell(&Notice::Deaf {
                    origin,
                    since,
                    until,
                }),
                News::Live => {
                    self.failures = 0;
                    self.notices.tell(&Notice::State(State::Live));
                }
                News::Down => self.notices.tell(&Notice::State(State::Degraded)),
                News::Asked {
                    origin,
                    id,
                    scope,
                    question,
                } => {
                    let answer = self.registry.answer(&scope, &question);
                    // One that finds no room is an answer that does not come, and the asker says so.
                    let _ = self.node.answer(now, origin, id, answer);
                }
                News::Answered {
                    id,
                    answers,
                    silent,
                    live,
                } => {
                    if let Some(answer) = self.asks.remove(&id) {
                        let others = answers;
                        let _ = answer.send(Ok(Answered {
                            others,
                            silent,
                            live,
                        }));
                    }
                }
                News::Joined(node) => self.tell_of_member(&Notice::Joined(node)),
                News::Left(node) => self.tell_of_member(&Notice::Left(node)),
                News::Silent(node) => self.tell_of_member(&Notice::Silent(node)),
                News::Reconnect => {
                    let batch = match &self.phase {
                        Phase::Open(open) => open.batch().cloned().map(Job::Send),
                        _ => None,
                    };
                    let reason = "our own heartbeats do not come back: the subscription is deaf";
                    self.bury(now, batch, String::from(reason));
                }
            }
        }
        any
    }

    fn tell_of_member(&self, notice: &Notice) {
        let members = self.node.members();
        let members = members.map(|(id, version)| (id, version.to_string()));
        self.status.lock().members = members.collect();
        self.notices.tell(notice);
    }

    /// Notes for operators what has come to be.
    pub(super) fn note(&self) {
        let mut status = self.status.lock();
        status.lost = self.lost;
        status.peers = self.node.peers();
        status.counters = self.node.counters();
        if let Some(ear) = &self.ear
            && status.foreign != ear.counts
        {
            status.foreign.clone_from(&ear.counts);
        }
    }

    /// Answers whoever waits for what is so by now.
    pub(super) fn answer(&mut self) {
        for (lane, answer) in core::mem::take(&mut self.hears) {
            match &self.phase {
                Phase::Open(open) if open.lanes.contains(&lane) => {
                    let _ = answer.send(Reach::Everywhere);
                }
                Phase::Open(_) if self.lanes.wanted(lane) => self.hears.push((lane, answer)),
                _ => {
                    let _ = answer.send(Reach::Here);
                }
            }
        }
        if self.flushes.is_empty() {
            return;
        }
        let flying = match &self.phase {
            Phase::Open(open) => open.batch(),
            _ => None,
        };
        let batches = flying.into_iter().chain(&self.again);
        let oldest = batches
            .filter_map(|batch| batch.oldest)
            .chain(self.node.oldest())
            .min();
        for flush in core::mem::take(&mut self.flushes) {
            if oldest.is_some_and(|oldest| oldest <= flush.until) {
                self.flushes.push(flush);
                continue;
            }
            let lost = usize::try_from(self.lost - flush.lost).unwrap_or(usize::MAX);
            let outcome = match lost {
                0 => Ok(()),
                count => Err(FlushError::Lost { count }),
            };
            let _ = flush.answer.send(outcome);
        }
    }
}
