//! One link: one connection, which is driven by the half that is polled.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use futures::task::AtomicWaker;
use midplane_core::bus::{
    Bus, BusError, End, Inbound, Inbox, Lane, Limits, Link, OpenLink, Outbound, Prefix, Secrets,
    Transmit,
};
use parking_lot::RawMutex;
use tokio_postgres::{AsyncMessage, Client, Error, Notification};

use crate::driver::DriverConnection;
use crate::error::{failed, lost};
use crate::settings::Postgres;
use crate::{login, payload, pooler};

/// Nothing that a bus carries is durable, so no commit waits for a disk. A commit that notifies waits for the lock of all
/// that notify, which a link that gave up would go on waiting for: more than two heartbeats of 2 s are no use to any.
const SET_UP: &str = "SET synchronous_commit = off; SET lock_timeout = '5s'";

/// Which server this is: a standby that was promoted has the identifier of its primary, and another timeline.
const IDENTITY: &str = "SELECT format('postgres %s, timeline %s', system_identifier, timeline_id) \
    FROM pg_control_system(), pg_control_checkpoint()";

/// What stands between a prefix and a lane. Nothing in a channel's name needs escaping between double quotes.
const SEPARATOR: char = '_';

#[async_trait]
impl Bus for Postgres {
    fn limits(&self) -> Limits {
        payload::LIMITS
    }

    fn broker(&self) -> Option<String> {
        self.broker.lock().clone()
    }

    fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let mut opened = login::open(&self.endpoint, SET_UP).await?;
        pooler::refuse(&self.endpoint, &mut opened).await?;
        // Some hosts let nobody read it.
        *self.broker.lock() = opened.ask(IDENTITY).await.ok().flatten();
        let inbox = Arc::new(Inbox::new(self.queue));
        let open = Open {
            client: Some(Arc::new(opened.client)),
            connection: opened.connection,
        };
        let wakers = Arc::new(Wakers::default());
        let shared = Arc::new(Shared {
            prefix: self.prefix.clone(),
            link: OpenLink::new(inbox, open),
            secrets: opened.secrets,
            waker: Waker::from(Arc::clone(&wakers)),
            wakers,
        });
        let driven = Arc::clone(&shared);
        Ok(Link {
            frames: shared.link.clone().frames(move |cx, nothing_waits| {
                // What comes is taken in also while frames wait here.
                if nothing_waits || driven.wakers.moved.load(Ordering::Relaxed) {
                    driven.wakers.reader.register(cx.waker());
                    driven.turn();
                }
            }),
            transmit: Box::new(Sender(shared)),
        })
    }
}

/// What is open of a link.
struct Open {
    /// Dropping it makes the connection say goodbye.
    client: Option<Arc<Client>>,
    connection: Box<dyn DriverConnection>,
}

/// What both halves of the link share. The half that is polled moves the connection on.
struct Shared {
    prefix: Prefix,
    link: Arc<OpenLink<RawMutex, Open>>,
    /// What no text of the server may show.
    secrets: Secrets,
    wakers: Arc<Wakers>,
    /// The only waker that the connection ever sees: it keeps one, and there are two to wake.
    waker: Waker,
}

/// The tasks that wait for the connection to move.
#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    sender: AtomicWaker,
    /// The connection has moved since it was last polled.
    moved: AtomicBool,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.moved.store(true, Ordering::Relaxed);
        self.reader.wake();
        self.sender.wake();
    }
}

impl Shared {
    fn client(&self) -> Result<Arc<Client>, BusError> {
        let client = self.link.on(|open| open.client.clone())?;
        client.ok_or_else(|| End::Closed.error())
    }

    /// Ends the link, and with it the connection.
    fn end(&self, end: End) {
        self.link.end(end);
        self.wakers.wake_by_ref();
    }

    /// Moves the connection on as far as it goes, and takes in what arrives: what is left with the server is in the way of
    /// all others there.
    fn turn(&self) {
        let end = self.link.with(|open| self.drive(&mut *open.connection));
        if let Some(Some(end)) = end {
            self.end(end);
        }
    }

    /// Moves the connection on, and gives the end of the link if it comes to that.
    fn drive(&self, connection: &mut dyn DriverConnection) -> Option<End> {
        let mut cx = Context::from_waker(&self.waker);
        self.wakers.moved.store(false, Ordering::Relaxed);
        loop {
            match connection.poll_message(&mut cx) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                    self.take(&notification);
                    if let Some(end) = self.link.inbox().ended() {
                        return Some(end);
                    }
                }
                // Notices, for which nobody asked.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Some(self.failed(&error)),
                Poll::Ready(None) => return Some(lost()),
            }
        }
    }

    /// Takes in what was notified.
    fn take(&self, notification: &Notification) {
        if let Some(lane) = self.prefix.lane(SEPARATOR, notification.channel()) {
            let frame = payload::decode(notification.payload());
            self.link.inbox().push(Inbound { lane, frame });
        }
    }

    fn failed(&self, error: &Error) -> End {
        failed(error, &self.secrets)
    }

    /// Waits for the server's answer, moving the connection on meanwhile. A refusal ends the link.
    async fn answer<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, BusError> {
        let mut call = pin!(call);
        let answer = poll_fn(|cx| {
            self.wakers.sender.register(cx.waker());
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|error| self.failed(&error)));
            }
            self.turn();
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|error| self.failed(&error)));
            }
            match self.link.inbox().ended() {
                Some(end) => Poll::Ready(Err(end)),
                None => Poll::Pending,
            }
        });
        // Where the connection failed first, this is not the reason.
        answer.await.map_err(|end| {
            let error = self.link.fail(end);
            self.wakers.wake_by_ref();
            error
        })
    }
}

/// The sending half.
struct Sender(Arc<Shared>);

impl Sender {
    /// Runs statements in one transaction, and returns when it is committed.
    async fn execute(&self, statements: &str) -> Result<(), BusError> {
        let client = self.0.client()?;
        self.0.answer(client.batch_execute(statements)).await
    }

    /// Runs a command on the channel of each lane.
    async fn each(&self, command: &str, lanes: &[Lane]) -> Result<(), BusError> {
        let mut statements = String::new();
        for lane in lanes {
            let channel = self.0.prefix.channel(SEPARATOR, *lane);
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
        payload::LIMITS.check(frames)?;
        for chunk in frames.chunks(payload::MAX_FRAMES) {
            let mut statements = String::new();
            for (number, Outbound { lane, frame, .. }) in (0..=u8::MAX).zip(chunk) {
                let channel = self.0.prefix.channel(SEPARATOR, *lane);
                statements.extend(["NOTIFY \"", &channel, "\",'"]);
                payload::encode(number, frame, &mut statements);
                statements.push_str("';");
            }
            self.execute(&statements).await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        let shared = &self.0;
        match shared.link.inbox().ended() {
            Some(End::Closed) => return Ok(()),
            Some(end) => return Err(end.error()),
            None => shared.link.inbox().end(End::Closed),
        }
        // All that was sent is committed. What is left is to say goodbye, which is a courtesy.
        drop(shared.link.with(|open| open.client.take()));
        poll_fn(|cx| {
            shared.wakers.sender.register(cx.waker());
            shared.turn();
            match shared.link.with(|_| ()) {
                Some(()) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
        Ok(())
    }
}
