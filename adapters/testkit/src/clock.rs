//! Time that passes only when everyone waits.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt};
use midplane_core::{Instant, Timer};

use crate::lock::locked;

/// A clock that is moved by hand, and what is to be done when. A clone is the same clock.
#[derive(Clone, Default)]
pub struct VirtualClock(Arc<Mutex<Schedule>>);

#[derive(Default)]
struct Schedule {
    now: Duration,
    next: u64,
    /// What is to be done, by when and in which order.
    due: BTreeMap<DueKey, Action>,
}

type Action = Box<dyn FnOnce() + Send>;

/// By when, and in which order.
type DueKey = (Duration, u64);

impl VirtualClock {
    /// The time that has passed on the clock.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.schedule().now
    }

    /// Resolves when the time has come.
    pub fn until(&self, due: Duration) -> impl Future<Output = ()> + Send + use<> {
        let clock = self.clone();
        async move {
            if clock.elapsed() < due {
                let (sender, due_now) = oneshot::channel();
                let key = clock.at(due, move || {
                    // The waiter may be gone.
                    let _ = sender.send(());
                });
                let _scheduled = Scheduled { clock, key };
                let _ = due_now.await;
            }
        }
    }

    /// Resolves when so much time has passed.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.until(self.elapsed().saturating_add(duration))
    }

    /// Does this when the time has come, after what was put off until then before.
    pub fn at(&self, due: Duration, action: impl FnOnce() + Send + 'static) -> DueKey {
        let mut schedule = self.schedule();
        schedule.next += 1;
        let key = (due.max(schedule.now), schedule.next);
        schedule.due.insert(key, Box::new(action));
        key
    }

    /// Moves on to the next thing to be done, if it is due by then, and does it; else to `end`.
    pub fn advance(&self, end: Duration) -> bool {
        let action = {
            let mut schedule = self.schedule();
            let next = schedule.due.first_entry();
            match next.filter(|next| next.key().0 <= end) {
                Some(next) => {
                    let (at, _) = *next.key();
                    let action = next.remove();
                    schedule.now = at;
                    action
                }
                None => {
                    schedule.now = end;
                    return false;
                }
            }
        };
        action();
        true
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        locked(&self.0)
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualClock")
            .field(&self.elapsed())
            .finish()
    }
}

impl Timer for VirtualClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep(duration).boxed()
    }
}

/// Takes an action out of the schedule when its waiter is gone.
struct Scheduled {
    clock: VirtualClock,
    key: DueKey,
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        let action = self.clock.schedule().due.remove(&self.key);
        drop(action);
    }
}

/// The clock of one node, which began with it and may stand still for a while, or leap ahead.
#[derive(Debug, Clone)]
pub struct NodeClock {
    clock: VirtualClock,
    born: Duration,
    faults: Arc<Mutex<Vec<ClockFault>>>,
}

/// A time in which the clock stands, from one moment until another, and a leap with which it goes on.
#[derive(Debug, Clone, Copy)]
struct ClockFault {
    begin: Duration,
    end: Duration,
    leap: Duration,
}

impl NodeClock {
    /// A clock that begins now.
    #[must_use]
    pub fn new(clock: VirtualClock) -> Self {
        Self {
            born: clock.elapsed(),
            clock,
            faults: Arc::default(),
        }
    }

    /// Lets the clock stand for this time. A clock does not stand twice at once.
    pub fn stop(&self, duration: Duration) {
        self.fault(duration, Duration::ZERO);
    }

    /// Lets the clock leap ahead, unless it stands.
    pub fn leap(&self, duration: Duration) {
        self.fault(Duration::ZERO, duration);
    }

    fn fault(&self, stands: Duration, leap: Duration) {
        let now = self.clock.elapsed();
        let mut faults = self.faults();
        if faults.last().is_none_or(|fault| fault.end <= now) {
            faults.push(ClockFault {
                begin: now,
                end: now + stands,
                leap,
            });
        }
    }

    /// The moment of the world at which this clock first showed this, or more.
    #[must_use]
    pub fn moment(&self, shown: Duration) -> Duration {
        let mut moment = self.born + shown;
        for fault in self.faults().iter() {
            if moment > fault.begin {
                let went_on = moment + (fault.end - fault.begin);
                moment = went_on.saturating_sub(fault.leap).max(fault.end);
            }
        }
        moment
    }

    fn shown(&self, moment: Duration) -> Duration {
        let mut shown = moment;
        for fault in self.faults().iter().filter(|fault| fault.begin <= moment) {
            shown -= moment.min(fault.end) - fault.begin;
            shown += fault.leap;
        }
        shown.saturating_sub(self.born)
    }

    fn faults(&self) -> MutexGuard<'_, Vec<ClockFault>> {
        locked(&self.faults)
    }
}

impl Timer for NodeClock {
    fn now(&self) -> Instant {
        Instant::from_origin(self.shown(self.clock.elapsed()))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let timer = self.clone();
        let until = self.now() + duration;
        async move {
            // While it stands, the moment is yet to be known.
            while timer.now() < until {
                let moment = timer.moment(until.since_origin());
                timer
                    .clock
                    .until(moment.max(timer.clock.elapsed() + TICK))
                    .await;
            }
        }
        .boxed()
    }
}

/// The least time that passes.
const TICK: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_clock_that_stands_shows_less_time() {
        let clock = VirtualClock::default();
        clock.advance(seconds(10));
        let timer = NodeClock::new(clock.clone());
        clock.advance(seconds(12));
        assert_eq!(timer.now().since_origin(), seconds(2));
        timer.stop(seconds(5));
        clock.advance(seconds(15));
        assert_eq!(timer.now().since_origin(), seconds(2));
        clock.advance(seconds(20));
        assert_eq!(timer.now().since_origin(), seconds(5));
        assert_eq!(timer.moment(seconds(1)), seconds(11));
        assert_eq!(timer.moment(seconds(2)), seconds(12));
        assert_eq!(timer.moment(seconds(3)), seconds(18));
    }

    #[test]
    fn a_clock_that_leapt_shows_more() {
        let clock = VirtualClock::default();
        let timer = NodeClock::new(clock.clone());
        clock.advance(seconds(2));
        timer.leap(seconds(10));
        clock.advance(seconds(3));
        assert_eq!(timer.now().since_origin(), seconds(13));
        assert_eq!(timer.moment(seconds(1)), seconds(1));
        assert_eq!(timer.moment(seconds(7)), seconds(2));
        assert_eq!(timer.moment(seconds(13)), seconds(3));
    }
}
