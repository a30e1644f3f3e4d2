//! A socket that gives up on a peer that takes nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite};
use midplane::Timer;

/// A socket whose writes fail with [`TimedOut`](io::ErrorKind::TimedOut) once the peer has taken nothing for a while.
///
/// It stands below HTTP and WebSocket alike, so that no client can hold a connection, and what waits for it, by not
/// reading. The time runs only while a write waits; a socket that keeps up never sets a timer.
pub(crate) struct Stalled<S> {
    socket: S,
    timer: Arc<dyn Timer>,
    patience: Duration,
    alarm: Option<BoxFuture<'static, ()>>,
}

impl<S> Stalled<S> {
    pub(crate) fn new(socket: S, timer: Arc<dyn Timer>, patience: Duration) -> Self {
        Self {
            socket,
            timer,
            patience,
            alarm: None,
        }
    }

    fn watch<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.alarm = None;
            return outcome;
        }
        let alarm = self
            .alarm
            .get_or_insert_with(|| self.timer.sleep(self.patience));
        ready!(alarm.as_mut().poll(context));
        self.alarm = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.watch(outcome, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(context);
        self.watch(outcome, context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_close(context);
        self.watch(outcome, context)
    }
}
