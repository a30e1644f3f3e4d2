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
    use std::sync::Mutex;
    use std::task::Waker;

    use super::*;

    /// A timer whose every sleep is over at once, and that keeps the seconds of each.
    #[derive(Default)]
    struct HastyTimer(Mutex<Vec<u64>>);

    impl Timer for HastyTimer {
        fn now(&self) -> midplane::Instant {
            midplane::Instant::ZERO
        }
        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            self.0.lock().unwrap().push(duration.as_secs());
            futures::future::ready(()).boxed()
        }
    }

    #[test]
    fn a_client_that_is_heard_is_pinged_again_and_one_that_is_not_is_gone() {
        let timer = Arc::new(HastyTimer::default());
        let (interval, patience) = (Duration::from_secs(20), Duration::from_secs(5));
        let mut heartbeat = Heartbeat::new(timer.clone(), interval, patience);
        let context = &mut Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert_eq!(heartbeat.poll(context), Poll::Ready(Beat::Ping));
            heartbeat.hear();
        }
        assert_eq!(heartbeat.poll(context), Poll::Ready(Beat::Ping));
        assert_eq!(heartbeat.poll(context), Poll::Ready(Beat::Silent));
        assert_eq!(*timer.0.lock().unwrap(), [20, 5, 15, 5, 15, 5, 15, 5]);
    }
}
