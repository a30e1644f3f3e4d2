//! A link with the waiting done.

use bytes::Bytes;
use futures::StreamExt;
use midplane_core::bus::{Bus, BusErrorKind, Lane, Link, Outbound};
use midplane_redis::Redis;
use midplane_testkit::within;

pub(crate) async fn connect(bus: &Redis) -> Link {
    within("connecting", bus.connect()).await.expect("a link")
}

/// Subscribes lane 1, and hears itself on it.
pub(crate) async fn hearing(bus: &Redis) -> Link {
    let mut link = connect(bus).await;
    within("subscribing", link.transmit.subscribe(&[Lane(1)]))
        .await
        .expect("lane 1 is subscribed");
    within("sending", link.transmit.send(&[frame("hello")]))
        .await
        .expect("it is sent");
    let heard = within("the frame", link.frames.next()).await;
    let heard = heard.expect("a link").expect("a frame");
    assert_eq!(heard.frame, "hello");
    link
}

pub(crate) fn frame(bytes: impl Into<Bytes>) -> Outbound {
    Outbound {
        lane: Lane(1),
        frame: bytes.into(),
    }
}

pub(crate) async fn ended(link: &mut Link) -> BusErrorKind {
    let end = within("the end", link.frames.next()).await;
    let error = end.expect("an error").expect_err("the end");
    assert!(link.frames.next().await.is_none());
    error.kind()
}
