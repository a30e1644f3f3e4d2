//! The example server on smol.

mod smol_pool;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use futures::stream::{self, Stream};
use midplane::smol::Timer;
use midplane_server::{Runtime, Socket};

fn main() -> ExitCode {
    midplane_server::main(|server| {
        smol_pool::start()?;
        let runtime = Runtime::new(smol_pool::spawn, Timer::new());
        smol::block_on(server.run(runtime, accept))
    })
}

/// The sockets that connect, each sending what is written to it at once.
fn accept(
    listener: TcpListener,
) -> io::Result<impl Stream<Item = io::Result<(impl Socket, SocketAddr)>>> {
    let listener = smol::net::TcpListener::try_from(listener)?;
    Ok(stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.and_then(|(socket, address)| {
            socket.set_nodelay(true)?;
            Ok((socket, address))
        });
        Some((accepted, listener))
    }))
}
