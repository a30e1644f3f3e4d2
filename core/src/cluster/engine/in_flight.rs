//! What was taken from the queue and is not known to be with the bus: the batch that is sent, and the one to retry.

use alloc::sync::Arc;
use alloc::vec::Vec;

use futures::channel::oneshot;

use crate::bus::Outbound;
use crate::cluster::outgoing::Backlog;
use crate::node::Node;
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
    /// The batch was sent before, on a link that failed meanwhile.
    retried: bool,
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
            retried: false,
        }
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
    /// The batch that a link failed with: it may have arrived, which its sequence numbers will show.
    retry: Option<Batch>,
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

    /// The bus refuses the batch for good.
    pub(super) fn rejected(&mut self) {
        if let Some(batch) = self.sending.take() {
            self.lose(batch.backlog.messages as u64);
        }
    }

    /// The link failed: its batch is handed to the next link, once.
    pub(super) fn link_failed(&mut self) {
        match self.sending.take() {
            Some(batch) if batch.retried => self.lose(batch.backlog.messages as u64),
            Some(batch) => {
                self.retry = Some(Batch {
                    retried: true,
                    ..batch
                });
            }
            None => {}
        }
    }

    pub(super) fn take_retry(&mut self) -> Option<Batch> {
        self.retry.take()
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

    /// Answers the flushes that are done, where the oldest message that was not taken yet is of this instant.
    pub(super) fn answer(&mut self, queued: Option<Instant>) {
        if self.flushes.is_empty() {
            return;
        }
        let taken = self.batches().filter_map(|batch| batch.oldest);
        let oldest = taken.chain(queued).min();
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

    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.sending.iter().chain(&self.retry)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn batch(messages: usize, oldest: u64) -> Batch {
        Batch {
            frames: Arc::default(),
            backlog: Backlog {
                messages,
                bytes: messages * 10,
            },
            oldest: Some(at(oldest)),
            retried: false,
        }
    }

    #[test]
    fn a_batch_is_retried_once_and_then_lost() {
        let mut in_flight = InFlight::default();
        in_flight.send(batch(3, 1));
        in_flight.link_failed();
        assert_eq!((in_flight.lost(), in_flight.backlog().messages), (0, 3));
        let retry = in_flight.take_retry().unwrap();
        in_flight.send(retry);
        in_flight.link_failed();
        assert_eq!(in_flight.lost(), 3);
        assert_eq!(in_flight.backlog(), Backlog::default());
        assert!(in_flight.take_retry().is_none());
    }

    #[test]
    fn a_batch_that_the_bus_rejects_is_lost_and_one_that_it_has_is_not() {
        let mut in_flight = InFlight::default();
        in_flight.send(batch(3, 1));
        in_flight.sent();
        in_flight.send(batch(2, 1));
        in_flight.rejected();
        in_flight.link_failed();
        assert_eq!((in_flight.lost(), in_flight.backlog().messages), (2, 0));
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
        in_flight.answer(Some(at(4)));
        assert_eq!(before.try_recv(), Ok(Some(Ok(()))));
        assert_eq!(behind.try_recv(), Ok(None));
        in_flight.rejected();
        in_flight.answer(Some(at(4)));
        assert_eq!(behind.try_recv(), Ok(None));
        in_flight.answer(None);
        let lost = Err(FlushError::Lost { count: 2 });
        assert_eq!(behind.try_recv(), Ok(Some(lost)));
    }
}
