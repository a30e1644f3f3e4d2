//! A link with the waiting done, as the checks use it.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use midplane::bus::{Bus, BusError, Inbound, Lane, Outbound, Transmit};

use midplane_testkit::within;

/// One connected node.
pub(crate) struct Node {
    pub(crate) transmit: Box<dyn Transmit>,
    pub(crate) frames: BoxStream<'static, Result<Inbound, BusError>>,
}

impl Node {
    pub(crate) async fn connect(bus: &Arc<dyn Bus>) -> Self {
        let link = within("connecting", bus.connect()).await.expect("a link");
        Self {
            transmit: link.transmit,
            frames: link.frames,
        }
    }

    /// A node that hears these lanes.
    pub(crate) async fn on(bus: &Arc<dyn Bus>, lanes: &[u32]) -> Self {
        let mut node = Self::connect(bus).await;
        node.subscribe(lanes).await;
        node
    }

    pub(crate) async fn subscribe(&mut self, lanes: &[u32]) {
        let lanes: Vec<_> = lanes.iter().copied().map(Lane).collect();
        within("subscribing", self.transmit.subscribe(&lanes))
            .await
            .expect("the lanes are subscribed");
    }

    pub(crate) async fn unsubscribe(&mut self, lanes: &[u32]) {
        let lanes: Vec<_> = lanes.iter().copied().map(Lane).collect();
        within("unsubscribing", self.transmit.unsubscribe(&lanes))
            .await
            .expect("the lanes are unsubscribed");
    }

    pub(crate) async fn send(&mut self, lane: u32, frame: impl Into<Bytes>) {
        self.send_all(&[outbound(lane, frame)]).await;
    }

    pub(crate) async fn send_all(&mut self, frames: &[Outbound]) {
        within("sending", self.transmit.send(frames))
            .await
            .expect("the frames are sent");
    }

    /// What arrives next, which must be a frame.
    pub(crate) async fn next(&mut self) -> (u32, Bytes) {
        next(&mut self.frames).await
    }

    /// Requires that this is what arrives next: as a fence, that nothing sent before it did.
    pub(crate) async fn hears(&mut self, lane: u32, frame: impl Into<Bytes>) {
        let (heard, bytes) = self.next().await;
        let frame = frame.into();
        assert_eq!(heard, lane, "the lane of what arrives next");
        assert!(
            bytes == frame,
            "the next frame: {} for {}",
            bytes.escape_ascii(),
            frame.escape_ascii()
        );
    }
}

pub(crate) fn outbound(lane: u32, frame: impl Into<Bytes>) -> Outbound {
    Outbound {
        lane: Lane(lane),
        frame: frame.into(),
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
