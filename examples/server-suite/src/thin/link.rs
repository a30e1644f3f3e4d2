//! A socket that is read no faster than a thin link would bring it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The time between two reads.
const TICK: Duration = Duration::from_millis(50);

/// A socket that is read at a constant rate.
#[derive(Debug)]
pub(super) struct ThinLink {
    stream: TcpStream,
    ticks: Interval,
    /// Bytes for each tick, and how many of them are left of this one.
    each: usize,
    left: usize,
}

impl ThinLink {
    /// Reads so many bytes a second of a stream.
    pub(super) fn new(stream: TcpStream, bytes_per_second: usize) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self {
            stream,
            ticks,
            each: (TICK.as_secs_f64() * bytes_per_second as f64) as usize,
            left: 0,
        }
    }
}

impl AsyncRead for ThinLink {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left == 0 {
            ready!(self.ticks.poll_tick(context));
            self.left = self.each;
        }
        let room = self.left.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        self.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ThinLink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
