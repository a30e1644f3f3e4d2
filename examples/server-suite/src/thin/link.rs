//! The half of a socket that is read, which is read no faster than a thin link would bring it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The time between two reads.
const TICK: Duration = Duration::from_millis(50);

/// The half of a socket that is read, at a constant rate.
#[derive(Debug)]
pub(super) struct ThinLink {
    stream: OwnedReadHalf,
    ticks: Interval,
    /// Bytes for each tick, and how many of them are left of this one.
    each: usize,
    left: usize,
}

impl ThinLink {
    /// Reads so many bytes a second of a stream.
    pub(super) fn new(stream: OwnedReadHalf, bytes_per_second: usize) -> Self {
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
