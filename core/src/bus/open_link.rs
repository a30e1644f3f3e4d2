//! What an adapter holds of a link: the inbox, and the connection until the link is over.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures::stream::{BoxStream, Stream};
use lock_api::{Mutex, RawMutex};

use super::error::BusError;
use super::frame::Inbound;
use super::inbox::{End, Inbox};

/// What both halves of an adapter's link share: the [`Inbox`], and the connection, which is dropped when the link is
/// over, or with the last half. For adapters, on any lock.
///
/// What runs the connection (the driver's tasks and callbacks) holds the inbox alone, so that it keeps no connection
/// open. The connection is always dropped with no lock held: that may end tasks and run what they captured.
pub struct OpenLink<R, C> {
    inbox: Arc<Inbox<R>>,
    connection: Mutex<R, Option<C>>,
}

impl<R: RawMutex, C> OpenLink<R, C> {
    /// A link over this connection, which fills this inbox.
    #[must_use]
    pub fn new(inbox: Arc<Inbox<R>>, connection: C) -> Arc<Self> {
        Arc::new(Self {
            inbox,
            connection: Mutex::new(Some(connection)),
        })
    }

    /// What arrived, and why the link is over.
    #[must_use]
    pub fn inbox(&self) -> &Inbox<R> {
        &self.inbox
    }

    /// Checks that the link is not over, and drops the connection of one that is.
    ///
    /// # Errors
    /// The reason for which the link is over.
    pub fn check(&self) -> Result<(), BusError> {
        match self.inbox.ended() {
            Some(end) => {
                self.hang_up();
                Err(end.error())
            }
            None => Ok(()),
        }
    }

    /// Runs this on the connection, under the lock, unless the connection was dropped.
    pub fn with<T>(&self, run: impl FnOnce(&mut C) -> T) -> Option<T> {
        self.connection.lock().as_mut().map(run)
    }

    /// Runs this on the connection of a link that is not over.
    ///
    /// # Errors
    /// The reason for which the link is over.
    pub fn on<T>(&self, run: impl FnOnce(&mut C) -> T) -> Result<T, BusError> {
        self.check()?;
        self.with(run).ok_or_else(|| End::Closed.error())
    }

    /// Ends the link, for the first reason that was given, and drops the connection.
    pub fn end(&self, end: End) {
        self.inbox.end(end);
        self.hang_up();
    }

    /// Ends the link for this reason, and gives the error of the reason for which the link is over.
    pub fn fail(&self, end: End) -> BusError {
        self.end(end.clone());
        self.inbox.ended().unwrap_or(end).error()
    }

    /// Closes the link on purpose. Closing a closed link does nothing.
    ///
    /// # Errors
    /// The reason for which the link was dead before.
    pub fn close(&self) -> Result<(), BusError> {
        match self.inbox.ended() {
            Some(End::Closed) => Ok(()),
            Some(End::Failed(..)) => self.check(),
            None => {
                self.end(End::Closed);
                Ok(())
            }
        }
    }

    fn hang_up(&self) {
        let connection = self.connection.lock().take();
        drop(connection);
    }
}

impl<R: RawMutex + Send + Sync + 'static, C: Send + 'static> OpenLink<R, C> {
    /// The receiving half of the link. At each poll it calls `drive`, and says whether nothing waits: for connections that
    /// move on only when they are polled. Others are driven by their tasks, and pass what does nothing.
    #[must_use]
    pub fn frames(
        self: Arc<Self>,
        drive: impl FnMut(&mut Context<'_>, bool) + Send + Unpin + 'static,
    ) -> BoxStream<'static, Result<Inbound, BusError>> {
        Box::pin(Frames { link: self, drive })
    }
}

impl<R, C> fmt::Debug for OpenLink<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenLink").finish_non_exhaustive()
    }
}

struct Frames<R: RawMutex, C, D> {
    link: Arc<OpenLink<R, C>>,
    drive: D,
}

impl<R: RawMutex, C, D: FnMut(&mut Context<'_>, bool) + Unpin> Stream for Frames<R, C, D> {
    type Item = Result<Inbound, BusError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut next = self.link.inbox.poll_next(cx);
        (self.drive)(cx, next.is_pending());
        if next.is_pending() {
            next = self.link.inbox.poll_next(cx);
        }
        if let Poll::Ready(Some(Err(_))) = next {
            self.link.hang_up();
        }
        next
    }
}

impl<R: RawMutex, C, D> Drop for Frames<R, C, D> {
    fn drop(&mut self) {
        self.link.inbox.abandon();
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use futures::StreamExt;
    use futures::task::noop_waker_ref;

    use super::*;
    use crate::bus::{BusErrorKind, Lane};

    type Link = OpenLink<midplane::Lock, Arc<()>>;

    fn link() -> (Arc<Link>, Arc<()>) {
        let connection = Arc::new(());
        let inbox = Arc::new(Inbox::new(1_000));
        (OpenLink::new(inbox, connection.clone()), connection)
    }

    fn lost() -> End {
        End::Failed(BusErrorKind::Unreachable, String::from("gone"))
    }

    fn is_open(connection: &Arc<()>) -> bool {
        Arc::strong_count(connection) > 1
    }

    #[test]
    fn the_connection_goes_when_the_link_is_over_and_the_first_reason_stays() {
        let (link, connection) = link();
        assert!(link.on(|_| ()).is_ok());
        let error = link.fail(lost());
        assert_eq!(error.kind(), BusErrorKind::Unreachable);
        assert!(!is_open(&connection));
        let error = link.fail(End::Failed(BusErrorKind::Denied, String::new()));
        assert_eq!(error.kind(), BusErrorKind::Unreachable);
        assert!(link.close().is_err());
    }

    #[test]
    fn the_connection_goes_when_a_call_finds_that_its_driver_ended_the_link() {
        let (link, connection) = link();
        link.inbox().end(lost());
        assert!(is_open(&connection));
        assert!(link.on(|_| ()).is_err());
        assert!(!is_open(&connection));
    }

    #[test]
    fn a_link_is_closed_once_and_its_stream_ends_without_an_error() {
        let (link, connection) = link();
        let mut frames = link.clone().frames(|_, _| {});
        assert!(link.close().is_ok() && link.close().is_ok());
        assert!(!is_open(&connection));
        let cx = &mut Context::from_waker(noop_waker_ref());
        assert!(matches!(frames.poll_next_unpin(cx), Poll::Ready(None)));
    }

    #[test]
    fn the_stream_drives_the_connection_when_nothing_waits_and_drops_it_on_failure() {
        let (link, connection) = link();
        let inbox = Arc::downgrade(&link.inbox);
        let mut arriving = 2;
        let mut frames = link.frames(move |_, _| {
            let inbox = inbox.upgrade().expect("the link is there");
            arriving -= 1;
            if arriving > 0 {
                let (lane, frame) = (Lane(1), "driven".into());
                inbox.push(Inbound { lane, frame });
            } else {
                inbox.end(lost());
            }
        });
        let cx = &mut Context::from_waker(noop_waker_ref());
        let mut next = || frames.poll_next_unpin(cx);
        assert!(matches!(next(), Poll::Ready(Some(Ok(inbound))) if inbound.frame == "driven"));
        assert!(is_open(&connection));
        assert!(matches!(next(), Poll::Ready(Some(Err(_)))));
        assert!(!is_open(&connection));
        assert!(matches!(next(), Poll::Ready(None)));
    }
}
