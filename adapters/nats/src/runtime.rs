//! The tokio runtime that the driver needs, in programs that have one and in programs that have none.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tracing::dispatcher::{self, Dispatch};

/// The runtime of programs that have none: one thread for the whole process, started by the first link.
static OWN: Mutex<Option<Handle>> = Mutex::new(None);

/// The runtime that is current, else our own.
pub(crate) fn handle() -> io::Result<Handle> {
    if let Ok(current) = Handle::try_current() {
        return Ok(current);
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*own {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("midplane-nats".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    *own = Some(handle.clone());
    Ok(handle)
}

/// A future that finds the runtime current wherever it is polled, and whose log lines are nobody's: the driver logs each
/// attempt that fails as an error, and with what the server says of it, though the attempt's error says all of that.
pub(crate) struct Within<F> {
    handle: Handle,
    future: Pin<Box<F>>,
}

impl<F> Within<F> {
    pub(crate) fn new(handle: Handle, future: F) -> Self {
        Self {
            handle,
            future: Box::pin(future),
        }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _entered = this.handle.enter();
        let future = this.future.as_mut();
        dispatcher::with_default(&Dispatch::none(), || future.poll(cx))
    }
}
