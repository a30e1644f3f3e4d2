//! The seam to the platform the fan-out runs on.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::RawMutex;

/// What a platform provides: its lock, containment of panics, and whether this thread is in a sink.
///
/// It is a type, not a value: nothing of it is stored. The `midplane` crate implements it for
/// programs with std; [`SingleThread`] serves a program with one thread of execution.
pub trait Host: Send + Sync + 'static {
    /// The lock under which the tables stand. It is held for the time of a look-up or a change, never
    /// while a sink runs or is dropped.
    type Mutex: RawMutex + Send + Sync + 'static;

    /// Runs `calls`, which calls sinks or drops them. [`inside_sink`](Self::inside_sink) is true on
    /// this thread meanwhile, also when contained calls nest.
    ///
    /// # Errors
    /// [`Panicked`] when `calls` panicked and the platform caught it. A platform that cannot catch
    /// never returns it.
    fn contain(calls: &mut dyn FnMut()) -> Result<(), Panicked>;

    /// Whether the caller runs inside [`contain`](Self::contain) on this thread. There a detach must
    /// not wait: it might wait for itself.
    fn inside_sink() -> bool;
}

/// A contained call panicked. What it left undone stays undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sink panicked")
    }
}

impl core::error::Error for Panicked {}

/// The host for a program with one thread of execution and the lock `R`. Panics are not caught.
///
/// With a second thread a detach on one thread would not wait for sinks that run on the other; such
/// a program implements [`Host`] with the identity of its threads.
#[derive(Debug)]
pub struct SingleThread<R>(PhantomData<R>);

/// How deep the one thread is inside contained calls.
static DEPTH: AtomicUsize = AtomicUsize::new(0);

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R: RawMutex + Send + Sync + 'static> Host for SingleThread<R> {
    type Mutex = R;

    fn contain(calls: &mut dyn FnMut()) -> Result<(), Panicked> {
        let _inside = Inside::enter();
        calls();
        Ok(())
    }

    fn inside_sink() -> bool {
        DEPTH.load(Ordering::Relaxed) > 0
    }
}
