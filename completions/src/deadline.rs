//! Answers that may not come.

use core::future::Future;
use core::time::Duration;

use super::{BackendError, BackendErrorKind};
use midplane_core::Timer;

/// What the store answers, if it does in time.
pub(super) async fn in_time<T, E: From<BackendError>>(
    timer: &dyn Timer,
    deadline: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timer.within(deadline, answer).await.unwrap_or_else(|| {
        let message = alloc::format!("the store of completions did not answer within {deadline:?}");
        Err(BackendError::new(BackendErrorKind::Unreachable, message).into())
    })
}
