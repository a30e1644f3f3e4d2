//! The example server on tokio.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use futures::stream::{self, Stream};
use midplane::tokio::Timer;
use midplane_server::{Runtime, Socket};
use tokio_util::compat::TokioAsyncReadCompatExt;

fn main() -> ExitCode {
    midplane_server::main(|server| {
        let runtime = Runtime::new(midplane::tokio::spawn, Timer::new());
        tokio::runtime::Runtime::new()?.block_on(server.run(runtime, accept))
    })
}

/// The sockets that connect, each sending what is written to it at once.
fn accept(
    listener: TcpListener,
) -> io::Result<impl Stream<Item = io::Result<(impl Socket, SocketAddr)>>> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.and_then(|(socket, address)| {
            socket.set_nodelay(true)?;
            Ok((socket.compat(), address))
        });
        Some((accepted, listener))
    }))
}
