//! The runtime that a server runs on.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite};
use midplane::Timer;

/// A connected socket of any runtime.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// The async runtime that a server runs on.
#[derive(Clone)]
pub struct Runtime {
    spawn: Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>,
    pub(crate) timer: Arc<dyn Timer>,
}

impl Runtime {
    /// A runtime that runs futures by `spawn` and waits by `timer`.
    pub fn new(
        spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
        timer: impl Timer,
    ) -> Self {
        Self {
            spawn: Arc::new(spawn),
            timer: Arc::new(timer),
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(Box::pin(future));
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}
