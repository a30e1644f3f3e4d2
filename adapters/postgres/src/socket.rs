//! A socket that needs no runtime: async-io's reactor, a thread of its own, serves it under any executor.

use std::io;

use async_net::TcpStream;
#[cfg(unix)]
use async_net::unix::UnixStream;
use futures::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::Host;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::options::Server;

/// A stream of bytes, of either sort.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What the driver speaks over.
pub(crate) type Socket = Compat<Box<dyn Stream>>;

/// Connects to the server.
pub(crate) async fn open(server: &Server) -> io::Result<Socket> {
    let stream: Box<dyn Stream> = match &server.host {
        Host::Tcp(host) => {
            let stream = TcpStream::connect((host.as_str(), server.port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        #[cfg(unix)]
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{}", server.port));
            Box::new(UnixStream::connect(path).await?)
        }
    };
    Ok(stream.compat())
}
