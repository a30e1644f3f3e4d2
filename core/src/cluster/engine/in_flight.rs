//! What was taken from the queue and is not known to be with the bus: the batch that is sent, and those that a link failed
//! with.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use futures::channel::oneshot;

use crate::bus::Outbound;
use crate::cluster::outgoing::Backlog;
use crate::node::{Node, Refused};
use crate::receipt::FlushError;
use crate::time::Instant;

/// The most frames, and about the most bytes, that are handed over in one batch.
const FRAMES: usize = 64;
const BYTES: usize = 1 << 20;

/// Frames handed to the bus in one go.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) frames: Arc<Vec<Outbound>>,
    backlog: Backlog,
    /// When the oldest of its messages was queued.
    oldest: Option<Instant>,
}

impl Batch {
    /// The next frames of the node, as many as go out in one batch.
    pub(super) fn gather(node: &mut Node, now: Instant) -> Self {
        let oldest = node.oldest();
        let (messages, queued) = (node.queued(), node.queued_bytes());
        let mut frames = Vec::new();
        let mut bytes = 0;
        while frames.len() < FRAMES
            && bytes < BYTES
            && let Some(outbound) = node.transmit(now)
        {
            bytes += outbound.frame.len();
            frames.push(outbound);
        }
        Self {
            frames: Arc::new(frames),
            backlog: Backlog {
                messages: messages - node.queued(),
                bytes: queued - node.queued_bytes(),
            },
            oldest,
        }
    }

    /// A batch for each frame; what the batch counts is with the last.
    fn split(self) -> impl Iterator<Item = Self> {
        let count = self.frames.len();
        let frames = Arc::unwrap_or_clone(self.frames);
        frames.into_iter().zip(1..).map(move |(frame, place)| Self {
            frames: Arc::new(Vec::from([frame])),
            backlog: if place == count {
                self.backlog
            } else {
                Backlog::default()
            },
            oldest: self.oldest,
        })
    }
}

struct Flush {
    until: Instant,
    /// The messages that were lost before the flush began.
    lost: u64,
    answer: oneshot::Sender<Result<(), FlushError>>,
}

#[derive(Default)]
pub(super) struct InFlight {
    sending: Option<Batch>,
    /// The frames of a batch with one that the bus does not take, each to be sent alone.
    singly: VecDeque<Batch>,
    /// The batches that a link failed with: they may have arrived, and are kept to be sent again to those who miss them.
    unsure: Vec<Batch>,
    /// Messages that were queued and will not be handed over any more.
    lost: u64,
    flushes: Vec<Flush>,
}

impl InFlight {
    /// The batch is handed to the link.
    pub(super) fn send(&mut self, batch: Batch) {
        self.sending = Some(batch);
    }

    /// The bus has the batch.
    pub(super) fn sent(&mut self) {
        self.sending = None;
    }

    /// The bus does not take a frame of the batch, and has none of them: each is sent alone. Of one that was, what the node
    /// makes of it is sent in its place, and what it gives up is lost.
    pub(super) fn rejected(&mut self, refuse: impl FnOnce(&Outbound) -> Refused) {
        let Some(batch) = self.sending.take() else {
            return;
        };
        let instead = match batch.frames.as_slice() {
            [frame] => {
                let Refused { lost, instead } = refuse(frame);
                self.lost += lost;
                let backlog = match lost {
                    0 => batch.backlog,
                    _ => Backlog::default(),
                };
                let frames = Arc::new(instead);
                Batch {
                    frames,
                    backlog,
                    oldest: batch.oldest,
                }
            }
            _ => batch,
        };
        let behind = mem::take(&mut self.singly);
        self.singly = instead.split().chain(behind).collect();
    }

    /// The next frame that is sent alone.
    pub(super) fn take_single(&mut self) -> Option<Batch> {
        self.singly.pop_front()
    }

    /// The link failed.
    pub(super) fn link_failed(&mut self) {
        self.unsure.extend(self.sending.take());
        self.unsure.extend(self.singly.drain(..));
    }

    /// Other nodes hear again: those that miss what a link failed with ask for it.
    pub(super) fn live(&mut self) {
        self.unsure.clear();
    }

    /// Gives up what a link failed with, once it is older than its time to live.
    pub(super) fn expire(&mut self, now: Instant, time_to_live: Duration) {
        let expired = |batch: &Batch| {
            batch
                .oldest
                .is_some_and(|oldest| now - oldest > time_to_live)
        };
        for batch in self.unsure.extract_if(.., |batch| expired(batch)) {
            self.lost += batch.backlog.messages as u64;
        }
    }

    /// Messages that were accepted for relay are given up.
    pub(super) fn lose(&mut self, messages: u64) {
        self.lost += messages;
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// What was taken and is not with the bus.
    pub(super) fn backlog(&self) -> Backlog {
        let backlogs = self.batches().map(|batch| batch.backlog);
        backlogs.fold(Backlog::default(), |sum, backlog| sum + backlog)
    }

    /// Answers `answer` once nothing waits that was queued until this instant.
    pub(super) fn flush(
        &mut self,
        until: Instant,
        answer: oneshot::Sender<Result<(), FlushError>>,
    ) {
        let lost = self.lost;
        self.flushes.push(Flush {
            until,
            lost,
            answer,
        });
    }

    /// When the next thing expires that a flush waits for, where the oldest message that was not taken yet is of this
    /// instant.
    pub(super) fn due(
        &self,
        queued: impl FnOnce() -> Option<Instant>,
        time_to_live: Duration,
    ) -> Option<Instant> {
        if self.flushes.is_empty() {
            return None;
        }
        let unsure = self.unsure.iter().filter_map(|batch| batch.oldest);
        let oldest = unsure.chain(queued()).min();
        oldest.map(|oldest| oldest + time_to_live + Duration::from_micros(1))
    }

    /// Answers the flushes that are done, where the oldest message that was not taken yet is of this instant.
    pub(super) fn answer(&mut self, queued: impl FnOnce() -> Option<Instant>) {
        if self.flushes.is_empty() {
            return;
        }
        let taken = self.batches().filter_map(|batch| batch.oldest);
        let oldest = taken.chain(queued()).min();
        for flush in mem::take(&mut self.flushes) {
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

    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.sending.iter().chain(&self.singly).chain(&self.unsure)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::{Lane, Limits};
    use crate::envelope::{Decoded, Frame};
    use crate::event::Event;
    use crate::node::{Config, Intake};
    use crate::node_id::NodeId;
    use crate::target::{Scope, Target};

    const TIME_TO_LIVE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn frame(byte: u8) -> Outbound {
        Outbound {
            lane: Lane(0),
            frame: Bytes::copy_from_slice(&[byte]),
            echo: false,
        }
    }

    fn batch(messages: usize, oldest: u64) -> Batch {
        Batch {
            frames: Arc::new((0..messages as u8).map(frame).collect()),
            backlog: Backlog {
                messages,
                bytes: messages * 10,
            },
            oldest: Some(at(oldest)),
        }
    }

    #[test]
    fn what_a_link_failed_with_waits_until_others_hear_again_or_it_expires() {
        let mut in_flight = InFlight::default();
        in_flight.send(batch(3, 1));
        in_flight.link_failed();
        in_flight.send(batch(2, 9));
        in_flight.link_failed();
        in_flight.expire(at(31), TIME_TO_LIVE);
        assert_eq!((in_flight.lost(), in_flight.backlog().messages), (0, 5));
        in_flight.expire(at(32), TIME_TO_LIVE);
        assert_eq!((in_flight.lost(), in_flight.backlog().messages), (3, 2));
        in_flight.live();
        in_flight.expire(at(99), TIME_TO_LIVE);
        assert_eq!((in_flight.lost(), in_flight.backlog().messages), (3, 0));
    }

    /// A live node on a bus of frames of 256 bytes, on which these many events of 100 bytes wait.
    fn live(now: Instant, events: usize) -> Node {
        let limits = Limits::new(256);
        let mut node = Node::new(NodeId([7; 16]), Config::default(), limits);
        let begin = now - Duration::from_secs(1);
        node.connected(begin);
        let hello = node.transmit(begin).unwrap();
        node.receive(now, hello.lane, &hello.frame);
        assert!(node.is_live());
        while node.transmit(now).is_some() {}
        let intake = Intake::new(1, limits);
        let (scope, audience) = (Scope::default(), Target::topic("t").unwrap().into());
        let event = Event::binary(alloc::vec![0; 100]);
        for _ in 0..events {
            node.enqueue(intake.publish(now, &scope, &audience, &event).unwrap());
        }
        node
    }

    #[test]
    fn a_batch_has_the_frames_in_the_order_in_which_the_node_made_them() {
        let mut node = live(at(9), 7);
        let batch = Batch::gather(&mut node, at(9));
        let firsts = batch.frames.iter().map(|sent| {
            let Ok(Decoded::Frame(frame)) = Frame::decode(&sent.frame, 256) else {
                panic!("a frame of its own");
            };
            frame.header().first
        });
        assert_eq!(firsts.collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert_eq!(batch.backlog.messages, 7);
    }

    #[test]
    fn a_batch_that_the_bus_rejects_is_sent_frame_by_frame() {
        let mut in_flight = InFlight::default();
        in_flight.send(batch(3, 1));
        in_flight.rejected(|frame| panic!("{frame:?} was not sent alone"));
        let mut refused = Vec::new();
        while let Some(single) = in_flight.take_single() {
            in_flight.send(single);
            // The bus does not take the second.
            match in_flight.backlog().messages {
                3 if refused.is_empty() && in_flight.singly.len() == 1 => {
                    in_flight.rejected(|frame| {
                        refused.push(frame.clone());
                        Refused::default()
                    });
                }
                _ => in_flight.sent(),
            }
        }
        assert_eq!(refused, [frame(1)]);
        assert_eq!(in_flight.backlog(), Backlog::default());
    }

    /// A flush waits for what is sent in the place of a frame, and says what of it is lost.
    #[test]
    fn what_is_sent_in_the_place_of_a_frame_goes_out_before_what_is_behind_it() {
        let mut in_flight = InFlight::default();
        in_flight.send(batch(2, 3));
        let (answer, mut answered) = oneshot::channel();
        in_flight.flush(at(3), answer);
        in_flight.rejected(|_| Refused::default());
        let mut sent = Vec::new();
        while let Some(single) = in_flight.take_single() {
            let byte = single.frames[0].frame[0];
            in_flight.send(single);
            in_flight.answer(|| None);
            assert_eq!(answered.try_recv(), Ok(None), "{sent:?}");
            let (lost, instead) = match byte {
                0 => (0, [7, 8]),
                8 => (1, [9, 9]),
                _ => {
                    sent.push(byte);
                    in_flight.sent();
                    continue;
                }
            };
            let instead = instead.map(frame).into();
            in_flight.rejected(|_| Refused { lost, instead });
        }
        assert_eq!(sent, [7, 9, 9, 1]);
        in_flight.answer(|| None);
        let lost = Err(FlushError::Lost { count: 1 });
        assert_eq!(answered.try_recv(), Ok(Some(lost)));
    }

    #[test]
    fn a_flush_ends_when_nothing_older_waits_and_says_what_was_lost_meanwhile() {
        let mut in_flight = InFlight::default();
        in_flight.lose(5);
        in_flight.send(batch(2, 3));
        let flush = |in_flight: &mut InFlight, until| {
            let (answer, answered) = oneshot::channel();
            in_flight.flush(at(until), answer);
            answered
        };
        let (mut before, mut behind) = (flush(&mut in_flight, 2), flush(&mut in_flight, 4));
        in_flight.answer(|| Some(at(4)));
        assert_eq!(before.try_recv(), Ok(Some(Ok(()))));
        assert_eq!(behind.try_recv(), Ok(None));
        in_flight.link_failed();
        in_flight.answer(|| None);
        assert_eq!(behind.try_recv(), Ok(None));
        in_flight.expire(at(34), TIME_TO_LIVE);
        in_flight.answer(|| None);
        let lost = Err(FlushError::Lost { count: 2 });
        assert_eq!(behind.try_recv(), Ok(Some(lost)));
    }
}
