//! Time that passes only when everyone waits.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

/// A clock that is moved by hand, and what is to be done when. A clone is the same clock.
#[derive(Clone, Default)]
pub struct Clock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    next: u64,
    /// What is to be done, by when and in which order.
    due: BTreeMap<Place, Act>,
}

type Act = Box<dyn FnOnce() + Send>;

/// By when, and in which order.
type Place = (Duration, u64);

type Slot = Arc<Mutex<Option<Waker>>>;

impl Clock {
    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// Resolves when the time has come.
    pub fn until(&self, due: Duration) -> Until {
        Until {
            clock: self.clone(),
            due,
            place: None,
        }
    }

    /// Resolves when so much time has passed.
    pub fn sleep(&self, duration: Duration) -> Until {
        self.until(self.now() + duration)
    }

    /// Does this when the time has come, after what was put off until then before.
    pub(super) fn at(&self, due: Duration, act: impl FnOnce() + Send + 'static) -> Place {
        let mut state = self.state();
        state.next += 1;
        let place = (due.max(state.now), state.next);
        state.due.insert(place, Box::new(act));
        place
    }

    /// Moves on to the next thing to be done, if it is due by then, and does it; else to `end`.
    pub(super) fn advance(&self, end: Duration) -> bool {
        let act = {
            let mut state = self.state();
            let next = state.due.first_entry();
            match next.filter(|next| next.key().0 <= end) {
                Some(next) => {
                    let (at, _) = *next.key();
                    let act = next.remove();
                    state.now = at;
                    act
                }
                None => {
                    state.now = end;
                    return false;
                }
            }
        };
        act();
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// See [`Clock::until`].
#[derive(Debug)]
#[must_use = "time passes only for those who wait"]
pub struct Until {
    clock: Clock,
    due: Duration,
    place: Option<(Place, Slot)>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.due {
            return Poll::Ready(());
        }
        let waker = Some(context.waker().clone());
        if let Some((_, slot)) = &self.place {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = waker;
            return Poll::Pending;
        }
        let slot = Arc::new(Mutex::new(waker));
        let rings = slot.clone();
        let place = self.clock.at(self.due, move || {
            let waker = rings.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        self.place = Some((place, slot));
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some((place, _)) = self.place.take() {
            let act = self.clock.state().due.remove(&place);
            drop(act);
        }
    }
}

/// The clock of one node, which began with it and may stand still for a while, or leap ahead.
#[derive(Debug, Clone)]
pub struct Timer {
    clock: Clock,
    born: Duration,
    turns: Arc<Mutex<Vec<Turn>>>,
}

/// It stood, or stands, from one moment until another, and then went on from later than it had shown.
#[derive(Debug, Clone, Copy)]
struct Turn {
    begin: Duration,
    end: Duration,
    leap: Duration,
}

impl Timer {
    /// A clock that begins now.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            born: clock.now(),
            clock,
            turns: Arc::default(),
        }
    }

    /// Lets it stand for so long. It does not stand twice at once.
    pub fn stop(&self, duration: Duration) {
        self.turn(duration, Duration::ZERO);
    }

    /// Lets it leap ahead, unless it stands.
    pub fn leap(&self, duration: Duration) {
        self.turn(Duration::ZERO, duration);
    }

    fn turn(&self, stands: Duration, leap: Duration) {
        let now = self.clock.now();
        let mut turns = self.turns();
        if turns.last().is_none_or(|turn| turn.end <= now) {
            turns.push(Turn {
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
        for turn in self.turns().iter() {
            if moment > turn.begin {
                let went_on = moment + (turn.end - turn.begin);
                moment = went_on.saturating_sub(turn.leap).max(turn.end);
            }
        }
        moment
    }

    fn shown(&self, moment: Duration) -> Duration {
        let mut shown = moment;
        for turn in self.turns().iter().filter(|turn| turn.begin <= moment) {
            shown -= moment.min(turn.end) - turn.begin;
            shown += turn.leap;
        }
        shown.saturating_sub(self.born)
    }

    fn turns(&self) -> MutexGuard<'_, Vec<Turn>> {
        // Nothing is left half done under the lock.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl midplane::Timer for Timer {
    fn now(&self) -> Duration {
        self.shown(self.clock.now())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let timer = self.clone();
        let until = midplane::Timer::now(self) + duration;
        async move {
            // While it stands, the moment is yet to be known.
            while midplane::Timer::now(&timer) < until {
                let moment = timer.moment(until);
                timer
                    .clock
                    .until(moment.max(timer.clock.now() + TICK))
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
    use midplane::Timer as _;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_clock_that_stands_shows_less_time() {
        let clock = Clock::default();
        clock.advance(seconds(10));
        let timer = Timer::new(clock.clone());
        clock.advance(seconds(12));
        assert_eq!(timer.now(), seconds(2));
        timer.stop(seconds(5));
        clock.advance(seconds(15));
        assert_eq!(timer.now(), seconds(2));
        clock.advance(seconds(20));
        assert_eq!(timer.now(), seconds(5));
        assert_eq!(timer.moment(seconds(1)), seconds(11));
        assert_eq!(timer.moment(seconds(2)), seconds(12));
        assert_eq!(timer.moment(seconds(3)), seconds(18));
    }

    #[test]
    fn a_clock_that_leapt_shows_more() {
        let clock = Clock::default();
        let timer = Timer::new(clock.clone());
        clock.advance(seconds(2));
        timer.leap(seconds(10));
        clock.advance(seconds(3));
        assert_eq!(timer.now(), seconds(13));
        assert_eq!(timer.moment(seconds(1)), seconds(1));
        assert_eq!(timer.moment(seconds(7)), seconds(2));
        assert_eq!(timer.moment(seconds(13)), seconds(3));
    }
}
