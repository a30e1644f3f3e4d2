//! Answers that may not come.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;

use futures::future::{Either, select};

use super::{BackendError, BackendErrorKind};
use midplane_core::Timer;

/// What the store answers, if it does in time.
pub(super) async fn in_time<T, E: From<BackendError>>(
    timer: &dyn Timer,
    deadline: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match select(pin!(answer), timer.sleep(deadline)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(BackendError::new(
            BackendErrorKind::Unreachable,
            alloc::format!("the store of completions did not answer within {deadline:?}"),
        )
        .into()),
    }
}
