//! A session with the waiting done.

use bytes::Bytes;
use futures::StreamExt;
use midplane_conformance::within;
use midplane_core::bus::{Bus, BusErrorKind, Lane, Outbound, Session};
use midplane_redis::Redis;

pub(crate) async fn connect(bus: &Redis) -> Session {
    within("connecting", bus.connect())
        .await
        .expect("a session")
}

/// Subscribes lane 1, and hears itself on it.
pub(crate) async fn hearing(bus: &Redis) -> Session {
    let mut session = connect(bus).await;
    within("subscribing", session.transmit.subscribe(&[Lane(1)]))
        .await
        .expect("lane 1 is subscribed");
    within("sending", session.transmit.send(&[frame("hello")]))
        .await
        .expect("it is sent");
    let heard = within("the frame", session.frames.next()).await;
    let heard = heard.expect("a session").expect("a frame");
    assert_eq!(heard.frame, "hello");
    session
}

pub(crate) fn frame(bytes: impl Into<Bytes>) -> Outbound {
    Outbound {
        lane: Lane(1),
        frame: bytes.into(),
    }
}

pub(crate) async fn ended(session: &mut Session) -> BusErrorKind {
    let end = within("the end", session.frames.next()).await;
    let error = end.expect("an error").expect_err("the end");
    assert!(session.frames.next().await.is_none());
    error.kind()
}
