//! What an error shows in a log.

use std::error::Error;

/// The texts of an error and of everything behind it, as `Display` and as `Debug` have them: where a test looks for
/// what must be named, and for secrets that must not be.
#[must_use]
pub fn shown(error: &dyn Error) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        shown.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    shown
}
