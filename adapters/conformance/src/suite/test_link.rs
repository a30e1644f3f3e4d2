//! A link with the waiting done, for the checks and for the adapters' own tests.

use std::fmt;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use midplane::bus::{Bus, BusError, BusErrorKind, Inbound, Lane, Outbound, Transmit};
use midplane_testkit::{succeeds, within};

/// One link, whose calls wait for no longer than [`PATIENCE`](midplane_testkit::PATIENCE) and panic where they fail.
pub struct TestLink {
    /// The sending half of the link.
    pub transmit: Box<dyn Transmit>,
    /// The receiving half of the link.
    pub frames: BoxStream<'static, Result<Inbound, BusError>>,
}

impl fmt::Debug for TestLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestLink").finish_non_exhaustive()
    }
}

impl TestLink {
    /// A node that is subscribed to nothing.
    pub async fn connect(bus: &dyn Bus) -> Self {
        let link = succeeds("connecting", bus.connect()).await;
        Self {
            transmit: link.transmit,
            frames: link.frames,
        }
    }

    /// A node that is subscribed to these lanes.
    pub async fn on(bus: &dyn Bus, lanes: &[u32]) -> Self {
        let mut node = Self::connect(bus).await;
        node.subscribe(lanes).await;
        node
    }

    /// A node that is subscribed to lane 1, and has received what it sent there.
    pub async fn working(bus: &dyn Bus) -> Self {
        let mut node = Self::on(bus, &[1]).await;
        node.send(1, "hello").await;
        node.receives(1, "hello").await;
        node
    }

    /// Subscribes to these lanes.
    pub async fn subscribe(&mut self, lanes: &[u32]) {
        let lanes: Vec<_> = lanes.iter().copied().map(Lane).collect();
        succeeds("subscribing", self.transmit.subscribe(&lanes)).await;
    }

    /// Unsubscribes from these lanes.
    pub async fn unsubscribe(&mut self, lanes: &[u32]) {
        let lanes: Vec<_> = lanes.iter().copied().map(Lane).collect();
        succeeds("unsubscribing", self.transmit.unsubscribe(&lanes)).await;
    }

    /// Sends one frame.
    pub async fn send(&mut self, lane: u32, frame: impl Into<Bytes>) {
        self.send_all(&[outbound(lane, frame)]).await;
    }

    /// Sends these frames.
    pub async fn send_all(&mut self, frames: &[Outbound]) {
        succeeds("sending", self.transmit.send(frames)).await;
    }

    /// What arrives next, which must be a frame.
    pub async fn next(&mut self) -> (u32, Bytes) {
        next(&mut self.frames).await
    }

    /// Requires that this is what arrives next: as a fence, that nothing sent before it did.
    pub async fn receives(&mut self, lane: u32, frame: impl Into<Bytes>) {
        let (arrived, bytes) = self.next().await;
        let frame = frame.into();
        assert_eq!(arrived, lane, "the lane of what arrives next");
        assert!(
            bytes == frame,
            "the next frame: {} for {}",
            bytes.escape_ascii(),
            frame.escape_ascii()
        );
    }

    /// Requires that the stream fails and then ends, after the frames that had arrived; gives the kind of the failure.
    pub async fn end(&mut self) -> BusErrorKind {
        loop {
            match within("the end", self.frames.next()).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let after = within("the end of the stream", self.frames.next()).await;
                    assert!(after.is_none(), "{after:?} after the error");
                    return error.kind();
                }
                None => panic!("the stream ends without a reason"),
            }
        }
    }
}

/// A frame to be sent on a lane, which its sender receives too.
pub fn outbound(lane: u32, frame: impl Into<Bytes>) -> Outbound {
    Outbound {
        lane: Lane(lane),
        frame: frame.into(),
        echo: true,
    }
}

/// A frame to be sent on a lane, which a bus may spare its sender.
pub fn without_echo(lane: u32, frame: impl Into<Bytes>) -> Outbound {
    Outbound {
        echo: false,
        ..outbound(lane, frame)
    }
}

/// What arrives next, which must be a frame.
pub(crate) async fn next(
    frames: &mut BoxStream<'static, Result<Inbound, BusError>>,
) -> (u32, Bytes) {
    let inbound = within("the next frame", frames.next())
        .await
        .expect("the link goes on")
        .expect("the link lives");
    (inbound.lane.0, inbound.frame)
}
