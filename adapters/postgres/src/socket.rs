//! A socket that needs no runtime: async-io's reactor, a thread of its own, serves it under any executor.

use std::io;
use std::net::SocketAddr;

use async_net::TcpStream;
#[cfg(unix)]
use async_net::unix::UnixStream;
use futures::future::Either;
use tokio_postgres::config::Host;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::url::Server;

/// A socket of the system, where there are such.
#[cfg(not(unix))]
type UnixStream = TcpStream;

/// What the driver speaks over.
pub(crate) type Socket = Compat<Either<TcpStream, UnixStream>>;

/// Connects to the server.
pub(crate) async fn open(server: &Server) -> io::Result<Socket> {
    let stream = match &server.host {
        Host::Tcp(host) => {
            let stream = TcpStream::connect((host.as_str(), server.port)).await?;
            stream.set_nodelay(true)?;
            Either::Left(stream)
        }
        #[cfg(unix)]
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{}", server.port));
            Either::Right(UnixStream::connect(path).await?)
        }
    };
    Ok(stream.compat())
}

/// Where a socket leads that is not of the system.
pub(crate) fn peer(socket: &Socket) -> Option<SocketAddr> {
    match socket.get_ref() {
        Either::Left(stream) => stream.peer_addr().ok(),
        #[cfg(unix)]
        Either::Right(_) => None,
        #[cfg(not(unix))]
        Either::Right(stream) => stream.peer_addr().ok(),
    }
}
