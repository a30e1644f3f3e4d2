//! How the peers listen, and the line by which each says where.

use std::io::{self, Write};
use std::net::SocketAddr;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

/// Says where a server listens, as the example servers do.
///
/// # Errors
/// When standard output is closed.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}

/// Serves on a free loopback port, without a delay of small segments, until the process ends.
///
/// # Errors
/// When no port is free, or standard output is closed.
pub async fn serve(router: Router) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        // A socket that takes no options is gone, and its first read says so.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
