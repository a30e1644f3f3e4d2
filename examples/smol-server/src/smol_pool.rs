//! An executor with a thread for each processor: smol's own has one, unless `SMOL_THREADS` says otherwise.

use std::future::{Future, pending};
use std::io;
use std::thread;

use smol::Executor;

static SMOL: Executor<'static> = Executor::new();

/// Starts the threads. They live as long as the process does.
pub(crate) fn start() -> io::Result<()> {
    for number in 0..thread::available_parallelism()?.get() {
        let name = format!("smol-{number}");
        thread::Builder::new()
            .name(name)
            .spawn(|| smol::block_on(SMOL.run(pending::<()>())))?;
    }
    Ok(())
}

/// Runs the future on these threads, detached.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    SMOL.spawn(future).detach();
}
