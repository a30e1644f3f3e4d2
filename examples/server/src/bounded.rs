//! A socket that bounds what its peer can hold up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use midplane::Timer;
use midplane_http::{Alive, Patience};

/// Reads and writes in a row that find the socket ready before its task lets others run.
const IN_A_ROW: u32 = 64;

/// A socket with two bounds, which stand below HTTP and WebSocket alike.
///
/// Writes fail with [`TimedOut`](io::ErrorKind::TimedOut) once the peer has taken nothing for longer than the
/// [`Patience`], so no client can hold a connection, and what waits for it, by not reading.
///
/// A peer that always has more to say, or always takes more, does not keep the thread from other
/// tasks: every so often the socket says that it is not ready and wakes its task at once. Not every
/// executor sees to that by itself.
pub(crate) struct Bounded<S> {
    socket: S,
    patience: Patience,
    left: u32,
}

impl<S> Bounded<S> {
    pub(crate) fn new(socket: S, timer: Arc<dyn Timer>, patience: Duration) -> Self {
        Self {
            socket,
            patience: Patience::new(timer, patience),
            left: IN_A_ROW,
        }
    }

    /// Says that the client lives each time that it takes something of a write that waited.
    pub(crate) fn tell(&mut self, alive: Alive) {
        self.patience.tell(alive);
    }

    /// Does what may be done now, or lets others run.
    fn in_turn<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Option<Poll<io::Result<T>>>
    where
        S: Unpin,
    {
        if self.left == 0 {
            self.left = IN_A_ROW;
            context.waker().wake_by_ref();
            return None;
        }
        let outcome = act(Pin::new(&mut self.socket), context);
        self.left = if outcome.is_ready() {
            self.left - 1
        } else {
            IN_A_ROW
        };
        Some(outcome)
    }

    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        // A turn that is over is no wait: the task is woken at once.
        let Some(attempt) = self.in_turn(context, act) else {
            return Poll::Pending;
        };
        let outcome = self.patience.poll(context, attempt);
        outcome.map(|taken| taken.unwrap_or(Err(io::ErrorKind::TimedOut.into())))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.in_turn(context, |socket, context| socket.poll_read(context, buffer))
            .unwrap_or(Poll::Pending)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context, |socket, context| socket.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context, AsyncWrite::poll_flush)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context, AsyncWrite::poll_close)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use midplane_testkit::clock::VirtualClock;

    use super::*;

    /// A peer that always talks, and takes what is written or does not.
    struct Peer {
        takes: Arc<AtomicBool>,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buffer.len()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.takes.load(Ordering::Relaxed) {
                Poll::Ready(Ok(bytes.len()))
            } else {
                Poll::Pending
            }
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    const PATIENCE: Duration = Duration::from_secs(1);

    fn socket() -> (Bounded<Peer>, Arc<AtomicBool>, VirtualClock) {
        let (takes, clock) = (Arc::<AtomicBool>::default(), VirtualClock::default());
        let peer = Peer {
            takes: takes.clone(),
        };
        let socket = Bounded::new(peer, Arc::new(clock.clone()), PATIENCE);
        (socket, takes, clock)
    }

    #[test]
    fn a_write_that_waits_too_long_fails_and_one_that_is_taken_does_not() {
        let (mut socket, takes, clock) = socket();
        let context = &mut Context::from_waker(Waker::noop());
        let mut write = |context: &mut Context<'_>| Pin::new(&mut socket).poll_write(context, b"x");
        assert!(write(context).is_pending());
        takes.store(true, Ordering::Relaxed);
        assert!(clock.advance(PATIENCE));
        assert!(matches!(write(context), Poll::Ready(Ok(1))));
        takes.store(false, Ordering::Relaxed);
        assert!(write(context).is_pending());
        assert!(clock.advance(PATIENCE * 2));
        let Poll::Ready(Err(error)) = write(context) else {
            panic!("the time is over");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_peer_that_never_pauses_lets_others_run() {
        let (mut socket, _, _) = socket();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let context = &mut Context::from_waker(&waker);
        for _ in 0..3 {
            let mut reads = 0;
            while Pin::new(&mut socket)
                .poll_read(context, &mut [0; 8])
                .is_ready()
            {
                reads += 1;
            }
            assert_eq!(reads, IN_A_ROW);
            assert!(
                woken.0.swap(false, Ordering::Relaxed),
                "nobody would poll it again"
            );
        }
    }
}
