//! What an open session does: one thing after the other, beside what arrives.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};

use super::{BYTES, Engine, FRAMES, Phase, TO_ACT, explain, late};
use crate::bus::{BusErrorKind, Lane};
use crate::cluster::session::{Batch, Job, Open};
use crate::host::Host;
use crate::notice::Notice;
use crate::time::Instant;

impl<H: Host> Engine<H> {
    pub(super) fn step_open(
        &mut self,
        now: Instant,
        mut open: Open,
        context: &mut Context<'_>,
    ) -> bool {
        let mut moved = false;
        match open.poll_work(context) {
            Poll::Ready((job, Ok(()))) => {
                moved = true;
                if matches!(job, Job::Close) {
                    self.over();
                    return true;
                }
                self.done(now, job, &mut open);
            }
            Poll::Ready((Job::Send(batch), Err(error)))
                if error.kind() == BusErrorKind::TooLarge =>
            {
                // The bus takes less than it said. Others will see that the numbers are missing.
                self.lost += batch.messages as u64;
                self.notices.tell(&Notice::Bus(explain(&error)));
                moved = true;
            }
            Poll::Ready((job, Err(error))) => {
                self.bury(now, Some(job), explain(&error));
                return true;
            }
            Poll::Pending if open.until().is_some_and(|until| now >= until) => {
                let reason = late("answering", self.config.heartbeat * TO_ACT);
                let batch = open.batch().cloned().map(Job::Send);
                self.bury(now, batch, reason);
                return true;
            }
            Poll::Pending => {}
        }
        match open.poll_frame(context) {
            Poll::Ready(Some(Ok(inbound))) => {
                moved = true;
                self.receive(now, &inbound);
            }
            Poll::Ready(end) => {
                let reason = match end {
                    Some(Err(error)) => explain(&error),
                    _ => String::from("the bus ended the session"),
                };
                let batch = open.batch().cloned().map(Job::Send);
                self.bury(now, batch, reason);
                return true;
            }
            Poll::Pending => {}
        }
        if open.is_idle()
            && open.joined
            && let Some(job) = self.next_job(now, &mut open)
        {
            let until = match &job {
                Job::Subscribe(lanes) => self.subscribed_by(now, lanes),
                _ => self.deadline(now),
            };
            open.start(job, until);
            moved = true;
        }
        self.phase = Phase::Open(open);
        moved
    }

    fn done(&mut self, now: Instant, job: Job, open: &mut Open) {
        match job {
            Job::Subscribe(mut lanes) => {
                // It has no members, no numbers, and nobody to give it up.
                lanes.retain(|lane| *lane != Lane::JSON);
                if !open.joined {
                    open.joined = true;
                    let before: Vec<Lane> = self.node.lanes().collect();
                    let unheard = before.iter().filter(|lane| !lanes.contains(lane));
                    unheard.for_each(|lane| self.node.ignore(*lane));
                    self.node.connected(now);
                }
                for lane in &lanes {
                    self.node.hear(now, *lane);
                    self.lanes.hear(*lane);
                    // Whoever came and went meanwhile is not noted twice.
                    if !self.lanes.wanted(*lane) {
                        self.cooling.insert(*lane, now + self.config.cool_down);
                    }
                }
                open.lanes.extend(lanes);
            }
            Job::Send(_) | Job::Unsubscribe(_) | Job::Close => {}
        }
    }

    /// What the idle session does next.
    fn next_job(&mut self, now: Instant, open: &mut Open) -> Option<Job> {
        let missing = self.missing(open);
        if !missing.is_empty() {
            return Some(Job::Subscribe(missing));
        }
        let cooled = self.cooled(now, open);
        if !cooled.is_empty() {
            return Some(Job::Unsubscribe(cooled));
        }
        if let Some(batch) = self.again.take() {
            return Some(Job::Send(batch));
        }
        let leaves = self.closing.is_some() && !self.left && self.node.queued() == 0;
        if leaves {
            self.left = true;
            self.node.leave(now);
        }
        let batch = self.gather(now);
        if !batch.frames.is_empty() {
            return Some(Job::Send(batch));
        }
        self.closing.is_some().then_some(Job::Close)
    }

    fn missing(&mut self, open: &Open) -> Vec<Lane> {
        let wanting = core::mem::take(&mut self.wanting);
        let missing = wanting
            .into_iter()
            .filter(|lane| !open.lanes.contains(lane) && self.lanes.wanted(*lane));
        missing.collect()
    }

    /// The lanes that nobody needed for the whole cool-down, given up.
    fn cooled(&mut self, now: Instant, open: &mut Open) -> Vec<Lane> {
        let due = self.cooling.iter().filter(|(_, until)| **until <= now);
        let due: Vec<Lane> = due.map(|(lane, _)| *lane).collect();
        let mut given_up = Vec::new();
        for lane in due {
            self.cooling.remove(&lane);
            self.lanes.ignore(lane);
            if self.lanes.wanted(lane) {
                if open.lanes.contains(&lane) {
                    self.lanes.hear(lane);
                }
            } else if open.lanes.contains(&lane) {
                open.lanes.remove(&lane);
                self.node.ignore(lane);
                given_up.push(lane);
            }
        }
        given_up
    }

    /// As many frames as go out in one go.
    fn gather(&mut self, now: Instant) -> Batch {
        self.lost += self.node.expire(now);
        let oldest = self.node.oldest();
        let (messages, held) = (self.node.queued(), self.node.queued_bytes());
        let mut frames = Vec::new();
        let mut bytes = 0;
        while frames.len() < FRAMES
            && bytes < BYTES
            && let Some(outbound) = self.node.transmit(now)
        {
            bytes += outbound.frame.len();
            frames.push(outbound);
        }
        Batch {
            frames: Arc::new(frames),
            messages: messages - self.node.queued(),
            bytes: held - self.node.queued_bytes(),
            oldest,
            again: false,
        }
    }
}
