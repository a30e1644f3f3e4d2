//! What the programs that measure servers have in common.

use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code of a run: 0 if what it measures holds, 1 if not, and 2 with the error in a line where it could not be run.
#[must_use]
pub fn exit(outcome: Result<bool, String>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Prints a line.
pub fn print(line: &str) {
    // Who reads no more needs no line.
    let _ = writeln!(io::stdout(), "{line}");
}
