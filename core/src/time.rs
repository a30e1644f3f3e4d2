//! The seam to the clock, and the instants that a clock gives.

use core::ops::{Add, AddAssign, Sub};
use core::pin::pin;
use core::time::Duration;

use futures::future::{BoxFuture, Either, select};

/// A monotonic clock and a way to wait, provided by the runtime that the host runs.
///
/// The clock should count the time in which the machine is suspended: ages are measured by it, and events that were
/// sent before a suspension of ten minutes are ten minutes old after it. On a clock that stands meanwhile, as
/// `CLOCK_MONOTONIC` of Linux does, such events would pass for fresh.
///
/// The `midplane` crate has one timer for tokio, one for smol and one for plain threads. Their clocks count suspend on
/// Linux and Android (`CLOCK_BOOTTIME`), on Apple's systems (`CLOCK_MONOTONIC`, which goes on there) and on Windows.
/// Elsewhere they read std's clock, of which that is not promised.
pub trait Timer: Send + Sync + 'static {
    /// The present instant. An instant is never before one that this timer gave earlier.
    fn now(&self) -> Instant;

    /// Resolves when `duration` has passed, never earlier; later where the machine was suspended meanwhile, by up to
    /// the time of the suspension. Dropping the future releases the timer.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

impl dyn Timer + '_ {
    /// The output of the future, or `None` once `duration` has passed. The future is dropped then.
    pub async fn within<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output> {
        match select(pin!(future), self.sleep(duration)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

/// A point in time on the clock of one [`Timer`], counted from that timer's origin.
///
/// Instants of two timers, or of two processes, do not compare. Arithmetic saturates at both ends: nothing is
/// before [`ZERO`](Self::ZERO), and the difference to a later instant is zero.
///
/// ```
/// use core::time::Duration;
/// use midplane_core::Instant;
///
/// let start = Instant::from_origin(Duration::from_secs(5));
/// let later = start + Duration::from_secs(2);
/// assert_eq!(later - start, Duration::from_secs(2));
/// assert_eq!(start - later, Duration::ZERO);
/// assert_eq!(start - Duration::from_secs(9), Instant::ZERO);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The timer's origin.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The last instant there is: no timer reaches it.
    pub const MAX: Self = Self(Duration::MAX);

    /// The instant at this distance from the timer's origin.
    #[must_use]
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The distance from the timer's origin.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
