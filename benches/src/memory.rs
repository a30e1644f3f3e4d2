//! What the program that counts allocations tells.

use serde::{Deserialize, Serialize};

/// What one thing takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found {
    /// What it is, or the plane it is in.
    pub name: String,
    /// Among so many.
    pub count: usize,
    /// Bytes that were asked of the allocator, for each.
    pub bytes: f64,
}
