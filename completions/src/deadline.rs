//! A deadline for the answer of a store.

use core::future::Future;
use core::time::Duration;

use midplane_core::Timer;

use crate::{BackendError, BackendErrorKind};

/// The answer of the store, or an error when none comes within `deadline`.
pub(crate) async fn in_time<T, E: From<BackendError>>(
    timer: &dyn Timer,
    deadline: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timer.within(deadline, answer).await.unwrap_or_else(|| {
        let message = alloc::format!("the store of completions did not answer within {deadline:?}");
        Err(BackendError::new(BackendErrorKind::Unreachable, message).into())
    })
}
