//! The one bound on every wait.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use futures_timer::Delay;

/// How long anything may take before a check fails. It is met on failure only, so it is generous: a slow
/// machine under load must not fail what works.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often [`eventually`] looks.
const GLANCE: Duration = Duration::from_millis(5);

/// In milliseconds.
static CURRENT: AtomicU64 = AtomicU64::new(PATIENCE.as_millis() as u64);

/// Replaces [`PATIENCE`] in the whole process, for tests that expect a check to fail and need not wait
/// that long for it.
pub fn set_patience(patience: Duration) {
    let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    CURRENT.store(millis, Ordering::Relaxed);
}

/// How long to wait in this process: [`PATIENCE`], unless [`set_patience`] was called.
#[must_use]
pub fn patience() -> Duration {
    Duration::from_millis(CURRENT.load(Ordering::Relaxed))
}

/// The output of a future, on any executor: the timer is a thread of its own.
///
/// # Panics
/// When [`patience`] ends first; the message says what was waited for.
pub async fn within<F: Future>(what: impl Display, future: F) -> F::Output {
    let patience = patience();
    match select(pin!(future), Delay::new(patience)).await {
        Either::Left((value, _)) => value,
        Either::Right(_) => panic!("{what}: not within {patience:?}"),
    }
}

/// The value of a future that must succeed.
///
/// # Panics
/// When the future fails, or [`patience`] ends first; the message says what was waited for.
pub async fn succeeds<T, E: Debug>(
    what: impl Display,
    future: impl Future<Output = Result<T, E>>,
) -> T {
    match within(&what, future).await {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// Waits until the condition holds, for what nobody announces.
///
/// # Panics
/// When [`patience`] ends first; the message says what was waited for.
pub async fn eventually(what: impl Display, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            pause().await;
        }
    })
    .await;
}

/// Asks again and again until there is an answer, without a pause: the asking is a round trip.
///
/// # Panics
/// When [`patience`] ends first; the message says what was waited for.
pub async fn until<T>(what: impl Display, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            smol::future::yield_now().await;
        }
    })
    .await
}

/// Blocks the thread until the condition holds, for what nobody announces outside of any executor.
///
/// # Panics
/// When [`patience`] ends first; the message says what was waited for.
pub fn block_until(what: impl Display, mut holds: impl FnMut() -> bool) {
    let patience = patience();
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        thread::sleep(GLANCE);
    }
}

/// Waits for the time between two looks, 5 ms.
pub async fn pause() {
    Delay::new(GLANCE).await;
}
