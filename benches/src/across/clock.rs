//! Moments in one number.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since this was asked first.
pub(super) fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
