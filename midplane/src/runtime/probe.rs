//! Whether a runtime runs tasks and keeps time.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use midplane_core::Runtime;

use super::RuntimeError;

/// What the probe sleeps, and how long it may take for that.
const NAP: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs one task that sleeps and reads the clock: a driver on a runtime that cannot do that dies later, in silence.
pub(crate) async fn probe(runtime: &Arc<dyn Runtime>) -> Result<(), RuntimeError> {
    let (slept, outcome) = oneshot::channel();
    let task = {
        let runtime = runtime.clone();
        async move {
            let before = runtime.now();
            runtime.sleep(NAP).await;
            let _ = slept.send(runtime.now() - before);
        }
    };
    runtime.spawn(Box::pin(task));
    match bounded(PATIENCE, outcome).await {
        Some(Ok(slept)) if slept >= NAP => Ok(()),
        Some(Ok(_)) => Err(RuntimeError::NoTimer),
        Some(Err(_)) => Err(RuntimeError::Dropped),
        None => Err(RuntimeError::NotRunning),
    }
}

/// The output of the future, or `None` once `duration` has passed on a thread of the system, which needs no runtime. The
/// thread ends with the call.
pub(crate) async fn bounded<F: Future + Unpin>(duration: Duration, future: F) -> Option<F::Output> {
    let (rings, rung) = oneshot::channel::<()>();
    // Dropped with this call, which ends the wait of the thread.
    let (_ends, ended) = channel::<()>();
    let started = thread::Builder::new()
        .name("midplane-deadline".into())
        .spawn(move || {
            if ended.recv_timeout(duration) == Err(RecvTimeoutError::Timeout) {
                let _ = rings.send(());
            }
        });
    if started.is_err() {
        // A system that gives no thread keeps no deadline.
        return Some(future.await);
    }
    match select(future, rung).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
