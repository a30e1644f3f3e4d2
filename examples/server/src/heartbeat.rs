//! Whether a client that says nothing is still there.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use midplane::Timer;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// A ping is to be sent.
    Ping,
    /// Nothing came since the last ping; the client is gone.
    Silent,
}

/// Asks for a ping in every interval, and gives up when nothing at all comes in time after one.
///
/// It has one timer, set once or twice in an interval and not for every message.
pub(crate) struct Heartbeat {
    timer: Arc<dyn Timer>,
    interval: Duration,
    patience: Duration,
    alarm: BoxFuture<'static, ()>,
    /// Whether a ping was sent and its patience runs.
    asked: bool,
    /// Whether anything came since then.
    heard: bool,
}

impl Heartbeat {
    pub(crate) fn new(timer: Arc<dyn Timer>, interval: Duration, patience: Duration) -> Self {
        Self {
            alarm: timer.sleep(interval),
            timer,
            interval,
            patience,
            asked: false,
            heard: false,
        }
    }

    /// Something came from the client.
    pub(crate) fn hear(&mut self) {
        self.heard = true;
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Beat> {
        loop {
            ready!(self.alarm.poll_unpin(context));
            if !self.asked {
                self.asked = true;
                self.heard = false;
                self.alarm = self.timer.sleep(self.patience);
                return Poll::Ready(Beat::Ping);
            }
            if !self.heard {
                return Poll::Ready(Beat::Silent);
            }
            self.asked = false;
            self.alarm = self
                .timer
                .sleep(self.interval.saturating_sub(self.patience));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use midplane_testkit::clock::VirtualClock;

    use super::*;

    #[test]
    fn a_client_that_is_heard_is_pinged_again_and_one_that_is_not_is_gone() {
        let clock = VirtualClock::default();
        let (interval, patience) = (Duration::from_secs(20), Duration::from_secs(5));
        let mut heartbeat = Heartbeat::new(Arc::new(clock.clone()), interval, patience);
        let context = &mut Context::from_waker(Waker::noop());
        // The next beat, and the seconds after which it comes.
        let mut next = |heartbeat: &mut Heartbeat| loop {
            if let Poll::Ready(beat) = heartbeat.poll(context) {
                return (clock.elapsed().as_secs(), beat);
            }
            assert!(clock.advance(Duration::MAX), "no timer is set");
        };
        for seconds in [20, 40, 60] {
            assert_eq!(next(&mut heartbeat), (seconds, Beat::Ping));
            heartbeat.hear();
        }
        assert_eq!(next(&mut heartbeat), (80, Beat::Ping));
        assert_eq!(next(&mut heartbeat), (85, Beat::Silent));
    }
}
