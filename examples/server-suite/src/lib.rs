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
//! - Nothing sleeps. What must arrive is awaited, for [`PATIENCE`](midplane_testkit::PATIENCE) at most;
//!   what must not arrive is checked by a fence: an event published to that client afterwards, before
//!   which nothing else may have come.
//! - What a check needs from the machine (`curl`, `chromedriver`, `chromium`) and does not find is a
//!   failure that says what to install.
//!
//! # The map
//!
//! [`checks`] holds the promises of one server, [`cluster`] those of several on one bus, [`outages`] counts what clients
//! get of these while brokers fail, [`rolling`] while servers are
//! restarted, and [`thin`] over links that bring less than is published;
//! [`tool`] is what the programs of the last three have in common. Below them are
//! the server as a child process (`fixture`) with the sets of flags that checks give it (`flags`), a
//! WebSocket client (`client`), a plain HTTP client that can also misbehave (`http`), a publisher that
//! never outruns its answers (`flood`), a browser (`browser`), and a peer that
//! speaks WebSocket byte by byte (`rfc6455`).

mod browser;
pub mod checks;
mod client;
pub mod cluster;
pub mod deploy;
mod endpoint;
mod fixture;
mod flags;
mod flood;
mod http;
pub mod outages;
mod rfc6455;
pub mod rolling;
pub mod thin;
pub mod tool;

pub use fixture::Program;

/// Runs one check to its end.
///
/// # Panics
/// When the check fails.
pub fn run(check: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(check);
}
