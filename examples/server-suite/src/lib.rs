//! The end-to-end checks that every example server must pass, run against the server as a child
//! process.
//!
//! A server's test file is one macro call:
//!
//! ```text
//! server_suite::suite!(env!("CARGO_BIN_EXE_tokio-server"));
//! ```
//!
//! # How the checks hold
//!
//! - Every check starts a server of its own on a free port and kills it at the end; the WebSocket
//!   client is another library than the server's.
//! - Nothing sleeps. What must arrive is awaited, for [`PATIENCE`] at most; what must not arrive is
//!   checked by a fence: an event published to that client afterwards, before which nothing else may
//!   have come.
//! - What a check needs from the machine (`curl`, `chromedriver`, `chromium`) and does not find is a
//!   failure that says what to install.
//!
//! # The map
//!
//! [`checks`] holds the promises of one server, [`cluster`] those of several on one bus. Below them are the server as a child process (`fixture`), a
//! WebSocket client (`client`), a plain HTTP client that can also misbehave (`http`), a publisher
//! that never outruns its answers (`flood`), and a browser (`browser`).

mod browser;
pub mod checks;
mod client;
pub mod cluster;
mod fixture;
mod flood;
mod http;

use std::fmt::Display;
use std::time::Duration;

pub use fixture::Program;

/// The longest any wait lasts. It is met on failure alone.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs one check against the server program at `path`.
///
/// # Panics
/// When the check fails.
pub fn run<C, F>(path: &'static str, check: C)
where
    C: FnOnce(Program) -> F,
    F: Future<Output = ()>,
{
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(check(Program::new(path)));
}

/// Runs one check to its end.
///
/// # Panics
/// When the check fails.
pub fn run_cluster(check: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(check);
}

/// Waits for `future`, and fails the check, naming what was waited for, when [`PATIENCE`] ends.
async fn within<F: Future>(what: impl Display, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Asks again and again until the answer satisfies; the asking itself is a round trip and yields.
async fn until<T, F>(what: impl Display, mut ask: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
