//! The host for programs with std.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use midplane_core::{Host, Panicked};

use crate::lock::Lock;

/// The registry of a program with std.
pub type Registry = midplane_core::Registry<Std>;

/// The backplane of one node, in a program with std.
pub type Local = midplane_core::Local<Std>;

/// The backplane of many nodes, in a program with std.
pub type Cluster = midplane_core::Cluster<Std>;

/// What builds a [`Cluster`] in a program with std.
pub type ClusterBuilder = midplane_core::ClusterBuilder<Std>;

/// Threads, [`Lock`], and panics that are caught.
///
/// The message of a caught panic goes to the panic hook, as that of any panic does.
#[derive(Debug)]
pub struct Std;

thread_local! {
    /// How many contained calls are on this thread's stack.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

impl Host for Std {
    type Mutex = Lock;

    fn contain(calls: &mut dyn FnMut()) -> Result<(), Panicked> {
        DEPTH.set(DEPTH.get() + 1);
        // The core goes on behind the sink that panicked and detaches it; nothing of the sink is used
        // again but its destructor.
        let outcome = catch_unwind(AssertUnwindSafe(calls)).map_err(discard);
        DEPTH.set(DEPTH.get() - 1);
        outcome
    }

    fn inside_sink() -> bool {
        DEPTH.get() > 0
    }
}

/// Drops what a panic carried. That may panic in turn, and what it carries then is leaked: somewhere it
/// has to end.
///
/// Kept out of line: with it inlined into every contained call, a publish to one connection took 44 ns, not
/// 27.
#[cold]
#[inline(never)]
fn discard(payload: Box<dyn Any + Send>) -> Panicked {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    Panicked
}
