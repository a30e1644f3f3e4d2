//! One session: a connection that is subscribed and one that publishes.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures::future::try_join;
use futures::stream::{Stream, StreamExt};
use midplane_core::bus::{BusError, BusErrorKind, End, Inbound, Lane, Outbound, Session, Transmit};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use crate::error::Voice;
use crate::pushes::Pushes;

/// Opens the two connections.
pub(crate) async fn open(
    client: &Client,
    voice: Voice,
    pushes: Pushes,
    frame_limit: usize,
) -> Result<Session, BusError> {
    let pushes = Arc::new(pushes);
    let pushed = pushes.clone();
    // The deadlines are the caller's. The loss of either connection is told by a push.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_push_sender(move |push| {
            pushed.take(push);
            Ok::<_, std::convert::Infallible>(())
        });
    let connect = || client.get_multiplexed_async_connection_with_config(&config);
    let (hearing, speaking) = try_join(connect(), connect())
        .await
        .map_err(|error| voice.error("connect", error))?;
    let shared = Arc::new(Shared {
        voice,
        pushes,
        connections: Mutex::new(Some(Connections { hearing, speaking })),
    });
    Ok(Session {
        frames: Frames {
            shared: shared.clone(),
        }
        .boxed(),
        transmit: Box::new(Sender {
            shared,
            frame_limit,
            lanes: BTreeSet::new(),
        }),
    })
}

/// What both halves hold; the connections are closed when it goes, or before.
struct Shared {
    voice: Voice,
    pushes: Arc<Pushes>,
    connections: Mutex<Option<Connections>>,
}

/// Handles on two tasks of the driver, each of which ends with the last clone of its handle.
#[derive(Clone)]
struct Connections {
    hearing: MultiplexedConnection,
    speaking: MultiplexedConnection,
}

impl Shared {
    /// The connections, if the session lives.
    fn alive(&self) -> Result<Connections, BusError> {
        if let Some(end) = self.pushes.inbox.ended() {
            self.hang_up();
            return Err(end.error());
        }
        let connections = self.connections.lock().clone();
        connections.ok_or_else(|| End::Closed.error())
    }

    fn hang_up(&self) {
        // Dropped outside the lock: it ends tasks.
        let connections = self.connections.lock().take();
        drop(connections);
    }

    /// Ends the session, of which a call failed.
    fn failed(&self, what: &str, error: RedisError) -> BusError {
        let ended = "ended when a call on it failed";
        self.pushes.fail(BusErrorKind::Unreachable, ended);
        self.hang_up();
        self.voice.error(what, error)
    }

    fn channels(&self, lanes: &[Lane]) -> Vec<String> {
        lanes
            .iter()
            .map(|&lane| self.pushes.channel(lane))
            .collect()
    }
}

struct Sender {
    shared: Arc<Shared>,
    frame_limit: usize,
    /// What is subscribed for certain, where a publish must therefore be heard.
    lanes: BTreeSet<Lane>,
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let mut connections = self.shared.alive()?;
        // Without arguments it would be an error.
        if lanes.is_empty() {
            return Ok(());
        }
        let channels = self.shared.channels(lanes);
        let subscribed = connections.hearing.subscribe(&channels).await;
        subscribed.map_err(|error| self.shared.failed("subscribe", error))?;
        self.lanes.extend(lanes);
        Ok(())
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let mut connections = self.shared.alive()?;
        // Without arguments it would be all of them.
        if lanes.is_empty() {
            return Ok(());
        }
        for lane in lanes {
            self.lanes.remove(lane);
        }
        let channels = self.shared.channels(lanes);
        let unsubscribed = connections.hearing.unsubscribe(&channels).await;
        unsubscribed.map_err(|error| self.shared.failed("unsubscribe", error))
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        let mut connections = self.shared.alive()?;
        let limit = self.frame_limit;
        if let Some(large) = frames.iter().find(|frame| frame.frame.len() > limit) {
            let bytes = large.frame.len();
            return Err(BusError::new(
                BusErrorKind::TooLarge,
                format!(
                    "a frame of {bytes} bytes is larger than the {limit} of `with_frame_limit`"
                ),
            ));
        }
        if frames.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::Pipeline::with_capacity(frames.len());
        for Outbound { lane, frame } in frames {
            pipeline
                .cmd("PUBLISH")
                .arg(self.shared.pushes.channel(*lane))
                .arg(&frame[..]);
        }
        let sent = pipeline.query_async(&mut connections.speaking).await;
        let heard: Vec<u64> = sent.map_err(|error| self.shared.failed("publish", error))?;
        let deaf = frames
            .iter()
            .zip(heard)
            .any(|(frame, heard)| heard == 0 && self.lanes.contains(&frame.lane));
        if deaf {
            self.shared.pushes.fail(
                BusErrorKind::Unreachable,
                "does not hear itself: the server has ended its subscription",
            );
            self.shared.alive()?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        // Every send was answered by the time it returned, so nothing is buffered.
        self.shared.alive()?;
        self.shared.pushes.inbox.end(End::Closed);
        self.shared.hang_up();
        Ok(())
    }
}

struct Frames {
    shared: Arc<Shared>,
}

impl Stream for Frames {
    type Item = Result<Inbound, BusError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.shared.pushes.inbox.poll_next(context));
        if !matches!(next, Some(Ok(_))) {
            self.shared.hang_up();
        }
        Poll::Ready(next)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.shared.pushes.inbox.abandon();
    }
}
