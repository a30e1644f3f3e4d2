//! The runtime that a plane runs on: the one that is current, and whether it fits.

#[cfg(not(all(feature = "tokio", feature = "smol", feature = "threads")))]
mod absent;
mod probe;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use midplane_core::Runtime;

#[cfg(not(feature = "smol"))]
use absent as smol;
#[cfg(not(feature = "threads"))]
use absent as threads;
#[cfg(not(feature = "tokio"))]
use absent as tokio;

#[cfg(feature = "smol")]
use crate::smol;
#[cfg(feature = "threads")]
use crate::threads;
#[cfg(feature = "tokio")]
use crate::tokio;

pub(crate) use probe::{bounded, probe};

/// The runtime of the caller: the tokio runtime that is current, or else smol, or else plain threads, of those that are
/// compiled in. The last two own their threads and are always there.
///
/// # Errors
/// [`RuntimeError::None`] when no tokio runtime is current and no other is compiled in.
pub fn current() -> Result<Arc<dyn Runtime>, RuntimeError> {
    let tokio = tokio::current();
    let other = || smol::current().or_else(threads::current);
    tokio.or_else(other).ok_or(RuntimeError::None)
}

/// Why a runtime cannot run a backplane. Nothing was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeError {
    /// There is none: no tokio runtime is current, and no other is compiled in.
    None,
    /// A task that sleeps for a millisecond was dropped or panicked, as on a tokio runtime without its timer, or on one
    /// that is shut down.
    Dropped,
    /// A task that sleeps for a millisecond woke before that.
    NoTimer,
    /// A task that sleeps for a millisecond had not ended after three seconds.
    NotRunning,
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => {
                "there is no runtime: connect inside of a tokio runtime with midplane's feature `tokio`, turn on the \
                 feature `smol` or `threads`, or name a runtime on the builder"
            }
            Self::Dropped => {
                "the runtime dropped a task that sleeps: does it still run, and is its timer enabled, as by enable_all of \
                 a tokio runtime's builder?"
            }
            Self::NoTimer => "the runtime's timer ends every sleep at once: does the runtime still run?",
            Self::NotRunning => {
                "the runtime had not run a task of a millisecond after three seconds: is it blocked, or polled by nobody?"
            }
        })
    }
}

impl Error for RuntimeError {}
