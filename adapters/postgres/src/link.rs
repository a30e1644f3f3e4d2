//! One link: one connection, which whoever waits for it drives.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use midplane_core::bus::{
    BusError, BusErrorKind, End, Inbound, Inbox, Lane, Link, Outbound, Transmit,
};
use parking_lot::RawMutex;
use tokio_postgres::{AsyncMessage, Client, Error, Notification};

use crate::driver::DriverConnection;
use crate::fault::{self, FaultKind};
use crate::options::Options;
use crate::{login, payload};

/// Nothing that a bus carries is durable, so no commit waits for a disk.
const SET_UP: &str = "SET synchronous_commit = off";

/// One attempt to open a link.
pub(crate) async fn open(options: &Arc<Options>) -> Result<Link, BusError> {
    let (client, connection) = login::open(options, SET_UP).await?;
    let wakers = Arc::new(Wakers::default());
    let shared = Arc::new(Shared {
        options: Arc::clone(options),
        inbox: Inbox::new(options.queue),
        client: Mutex::new(Some(Arc::new(client))),
        connection: Mutex::new(Some(connection)),
        waker: Waker::from(Arc::clone(&wakers)),
        wakers,
    });
    let frames = Frames(Arc::clone(&shared));
    Ok(Link {
        transmit: Box::new(Sender(shared)),
        frames: frames.boxed(),
    })
}

/// What both halves of the link share. Whichever is polled moves the connection on.
struct Shared {
    options: Arc<Options>,
    inbox: Inbox<RawMutex>,
    /// Dropping it makes the connection say goodbye.
    client: Mutex<Option<Arc<Client>>>,
    connection: Mutex<Option<Box<dyn DriverConnection>>>,
    wakers: Arc<Wakers>,
    /// The only waker that the connection ever sees: it keeps one, and there are two to wake.
    waker: Waker,
}

/// Who waits for the connection to move.
#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    sender: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.sender.wake();
    }
}

/// Nothing of ours can panic half-way under these locks; a driver that did has a connection that fails.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn client(&self) -> Result<Arc<Client>, BusError> {
        if let Some(end) = self.inbox.ended() {
            return Err(end.error());
        }
        lock(&self.client)
            .clone()
            .ok_or_else(|| End::Closed.error())
    }

    /// Ends the link, and with it the connection.
    fn end(&self, end: End) {
        self.inbox.end(end);
        drop(lock(&self.client).take());
        drop(lock(&self.connection).take());
        self.wakers.wake_by_ref();
    }

    /// Moves the connection on: as far as it goes, taking in what arrives, for whoever waits for an answer;
    /// up to the next frame for a reader, so that the server keeps what is not read.
    fn turn(&self, reading: bool) {
        let mut cx = Context::from_waker(&self.waker);
        let mut connection = lock(&self.connection);
        let end = loop {
            let Some(open) = connection.as_mut() else {
                return;
            };
            match open.poll_message(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                    let taken = self.take(&notification);
                    if let Some(end) = self.inbox.ended() {
                        break end;
                    }
                    if reading && taken {
                        return;
                    }
                }
                // Notices, which nobody asked for.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => break failed(&error),
                Poll::Ready(None) => break lost(),
            }
        };
        drop(connection);
        self.end(end);
    }

    /// Whether it was a frame.
    fn take(&self, notification: &Notification) -> bool {
        let Some(lane) = self.options.lane(notification.channel()) else {
            return false;
        };
        let frame = payload::decode(notification.payload());
        self.inbox.push(Inbound { lane, frame });
        true
    }

    /// Waits for the server's answer, moving the connection on meanwhile. A refusal ends the link.
    async fn drive<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, BusError> {
        let mut call = pin!(call);
        let answer = poll_fn(|cx| {
            self.wakers.sender.register(cx.waker());
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|error| failed(&error)));
            }
            self.turn(false);
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|error| failed(&error)));
            }
            match self.inbox.ended() {
                Some(end) => Poll::Ready(Err(end)),
                None => Poll::Pending,
            }
        });
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(end) => {
                // Where the connection failed first, this is not the reason.
                self.end(end.clone());
                Err(self.inbox.ended().unwrap_or(end).error())
            }
        }
    }
}

fn lost() -> End {
    End::Failed(BusErrorKind::Unreachable, String::from(fault::LOST))
}

/// What an error of the driver means for the link.
fn failed(error: &Error) -> End {
    End::Failed(FaultKind::of(error).into(), fault::text(error))
}

/// The receiving half.
struct Frames(Arc<Shared>);

impl Stream for Frames {
    type Item = Result<Inbound, BusError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = &self.0;
        shared.wakers.reader.register(cx.waker());
        if let Poll::Ready(next) = shared.inbox.poll_next(cx) {
            return Poll::Ready(next);
        }
        shared.turn(true);
        shared.inbox.poll_next(cx)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.0.inbox.abandon();
    }
}

/// The sending half.
struct Sender(Arc<Shared>);

impl Sender {
    /// Runs statements in one transaction, and returns when it is committed.
    async fn execute(&self, statements: &str) -> Result<(), BusError> {
        let client = self.0.client()?;
        self.0.drive(client.batch_execute(statements)).await
    }

    async fn each(&self, command: &str, lanes: &[Lane]) -> Result<(), BusError> {
        let mut statements = String::new();
        for lane in lanes {
            let channel = self.0.options.channel(*lane);
            statements.extend([command, " \"", &channel, "\";"]);
        }
        self.execute(&statements).await
    }
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.each("LISTEN", lanes).await
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.each("UNLISTEN", lanes).await
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        let limit = payload::MAX_FRAME_BYTES;
        if let Some(large) = frames.iter().find(|outbound| outbound.frame.len() > limit) {
            let message = format!(
                "a frame has {} bytes and Postgres takes {limit}",
                large.frame.len()
            );
            return Err(BusError::new(BusErrorKind::TooLarge, message));
        }
        for chunk in frames.chunks(payload::MAX_FRAMES) {
            let mut statements = String::new();
            for (number, Outbound { lane, frame }) in (0..=u8::MAX).zip(chunk) {
                let channel = self.0.options.channel(*lane);
                statements.extend(["NOTIFY \"", &channel, "\",'"]);
                payload::encode(number, frame, &mut statements);
                statements.push_str("';");
            }
            self.execute(&statements).await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        match self.0.inbox.ended() {
            Some(End::Closed) => return Ok(()),
            Some(end) => return Err(end.error()),
            None => {}
        }
        // All that was sent is committed. What is left is to say goodbye, which is a courtesy.
        self.0.inbox.end(End::Closed);
        drop(lock(&self.0.client).take());
        poll_fn(|cx| {
            self.0.wakers.sender.register(cx.waker());
            self.0.turn(false);
            match *lock(&self.0.connection) {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
        Ok(())
    }
}
