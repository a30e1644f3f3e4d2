//! Completions for programs with std: all of [`midplane_completions`], with this crate's host and lock in
//! place, and [`MemoryStore`], the store inside one process.

mod memory_store;

pub use memory_store::{MemoryStore, MemoryTransaction};
pub use midplane_completions::*;

use crate::{Lock, Std};

/// What handles completions, in a program with std.
pub type Listener = midplane_completions::Listener<Std>;

/// One subscription for many consumers, in a program with std.
pub type SharedStream = midplane_completions::SharedStream<Lock>;
