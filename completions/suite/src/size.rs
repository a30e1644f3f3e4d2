//! The size of a check, which the environment may make that of a long run.

use std::fmt::Display;

/// The number that this variable of the environment has, if it has one.
pub(crate) fn asked(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Prints what a long run measured; `cargo test -- --nocapture` shows that.
#[expect(clippy::print_stderr, reason = "the figures of a long run")]
pub(crate) fn figures(text: impl Display) {
    eprintln!("{text}");
}
