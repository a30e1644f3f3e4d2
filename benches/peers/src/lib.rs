//! The line by which every peer says where it listens.

use std::io::{self, Write};
use std::net::SocketAddr;

/// Says where a server listens, as the example servers do.
///
/// # Errors
/// When standard output is closed.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}
