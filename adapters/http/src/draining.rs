//! When a client is to be told that the server goes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use midplane::{Plane, Timer};

/// Waits until the plane drains, and then for this client's share of the spread.
pub(crate) struct Draining {
    plane: Plane,
    timer: Arc<dyn Timer>,
    wait: BoxFuture<'static, ()>,
    begun: bool,
    /// The task that is woken when the plane drains.
    asked: Option<Waker>,
}

impl Draining {
    pub(crate) fn new(plane: Plane, timer: Arc<dyn Timer>) -> Self {
        Self {
            wait: plane.draining().boxed(),
            plane,
            timer,
            begun: false,
            asked: None,
        }
    }

    /// Ready once, and never polled again.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // All connections of a plane wait for one event behind one lock: a task that waits already does not ask again.
        if !self.begun && !self.plane.is_draining() {
            let waker = context.waker();
            if self
                .asked
                .as_ref()
                .is_some_and(|asked| asked.will_wake(waker))
            {
                return Poll::Pending;
            }
            self.asked = Some(waker.clone());
        }
        ready!(self.wait.poll_unpin(context));
        let spread = self.plane.spread();
        if self.begun || spread.is_zero() {
            return Poll::Ready(());
        }
        self.begun = true;
        self.wait = self.timer.sleep(share(spread));
        self.wait.poll_unpin(context)
    }
}

/// The time that one client is given of a spread: 200 clients a second are no burden for the servers they go to.
const EACH: Duration = Duration::from_millis(5);

/// Within which time this many clients are told that the server goes, for [`Plane::drain_over`]: 5 ms for each, and `most`
/// for all together.
#[must_use]
pub fn spread(clients: usize, most: Duration) -> Duration {
    let clients = u32::try_from(clients).unwrap_or(u32::MAX);
    EACH.saturating_mul(clients).min(most)
}

/// The shortest and the longest time after which a client of a server that goes is to come back.
const RETURN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// When a client of a server that goes is to come back: after 1 to 2 s, another time for each call. A load balancer and a
/// process that starts anew have that long, and clients that were told together do not come back together.
#[must_use]
pub fn return_after() -> Duration {
    let [shortest, longest] = RETURN;
    shortest + share(longest - shortest)
}

/// A part of the duration, another one for each call.
fn share(duration: Duration) -> Duration {
    // Every state of this hasher has keys of its own.
    let random = RandomState::new().hash_one(0);
    duration.mul_f64(f64::from((random >> 32) as u32) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_grows_with_the_clients_up_to_its_bound() {
        let most = Duration::from_secs(5);
        for (clients, millis) in [
            (0, 0),
            (1, 5),
            (200, 1_000),
            (1_000, 5_000),
            (usize::MAX, 5_000),
        ] {
            assert_eq!(spread(clients, most), Duration::from_millis(millis));
        }
    }

    #[test]
    fn clients_come_back_at_times_of_their_own() {
        let mut times: Vec<_> = (0..64).map(|_| return_after()).collect();
        assert!(
            times
                .iter()
                .all(|time| (RETURN[0]..=RETURN[1]).contains(time))
        );
        times.sort_unstable();
        times.dedup();
        assert!(times.len() > 32, "{times:?}");
    }
}
