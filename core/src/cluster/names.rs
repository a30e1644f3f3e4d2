//! The names that a node says to the others.

use alloc::string::String;

/// The names that a node says to the others.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The node's name for people.
    pub(super) node: String,
    /// The name of its cluster.
    pub(super) cluster: String,
}
