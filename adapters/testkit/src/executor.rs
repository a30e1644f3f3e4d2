//! The executors that everything must work on.

use std::future::Future;

use futures::executor::{ThreadPool, block_on};
use futures::task::SpawnExt;
use tokio::runtime::Builder;

/// An executor to run a check on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Executor {
    /// smol, with its global executor.
    Smol,
    /// tokio on one thread.
    TokioCurrent,
    /// tokio on two worker threads, the check being a task on one of them.
    TokioMulti,
    /// futures' pool of two threads: no runtime is current.
    Threads,
}

impl Executor {
    /// Runs the future to its end. A panic in it goes on here.
    ///
    /// # Panics
    /// When the system gives no threads.
    pub fn run<T: Send + 'static>(self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self {
            Self::Smol => smol::block_on(smol::spawn(future)),
            Self::TokioCurrent => Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(future),
            Self::TokioMulti => {
                let runtime = Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                match runtime.block_on(runtime.spawn(future)) {
                    Ok(value) => value,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            Self::Threads => {
                let pool = ThreadPool::builder()
                    .pool_size(2)
                    .create()
                    .expect("the threads of a pool");
                block_on(pool.spawn_with_handle(future).expect("the pool takes it"))
            }
        }
    }
}
