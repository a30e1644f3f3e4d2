//! A listening socket whose clients cannot hold up what is written to them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use midplane::Plane;
use midplane::tokio::Timer;
use midplane_http::Patience;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How long a client may take no byte of what is written: one that reads 5 kB/s into a buffer of 4 MiB makes room every 50 s.
const STUCK: Duration = Duration::from_secs(60);

/// Accepts sockets that fail once their client takes nothing, and send at once what is written.
pub(crate) struct PatientListener {
    pub(crate) listener: TcpListener,
    pub(crate) plane: Plane,
}

impl Listener for PatientListener {
    type Io = PatientStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (PatientStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // What fails here fails again at the first write.
        let _ = stream.set_nodelay(true);
        let patience = Patience::new(Arc::new(Timer::new()), STUCK).until_drain(&self.plane);
        (PatientStream { stream, patience }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A socket of a [`PatientListener`].
pub(crate) struct PatientStream {
    stream: TcpStream,
    patience: Patience,
}

impl PatientStream {
    fn attempt<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let attempt = act(Pin::new(&mut self.stream), context);
        let outcome = self.patience.poll(context, attempt);
        outcome.map(|taken| {
            taken.unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late)))
        })
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.attempt(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.attempt(context, |stream, context| {
            stream.poll_write_vectored(context, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attempt(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attempt(context, AsyncWrite::poll_shutdown)
    }
}
