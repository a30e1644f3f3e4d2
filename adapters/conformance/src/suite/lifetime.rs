//! How links end, and what is left of them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use midplane::bus::{BusErrorKind, Lane};

use super::BusFixture;
use super::test_link::{TestLink, outbound, without_echo};
use midplane_testkit::{eventually, succeeds, within};

/// "Sends what is buffered and closes the link."
pub(crate) async fn close_sends_what_is_buffered(fixture: Arc<dyn BusFixture>) {
    const FRAMES: usize = 1_000;

    let bus = fixture.bus();
    let none = fixture.connections();
    let mut reader = TestLink::on(&*bus, &[1]).await;
    let mut sender = TestLink::connect(&*bus).await;
    for first in (0..FRAMES).step_by(100) {
        let batch: Vec<_> = (first..first + 100)
            .map(|number| without_echo(1, number.to_string()))
            .collect();
        sender.send_all(&batch).await;
    }
    let open = fixture.connections();
    succeeds("closing", sender.transmit.close()).await;
    for number in 0..FRAMES {
        reader.receives(1, number.to_string()).await;
    }
    // Closed means closed: for its own stream, for further sends, and on the server.
    ended(&mut sender).await;
    assert!(sender.transmit.send(&[outbound(1, "late")]).await.is_err());
    eventually("the closed link is gone from the server", || {
        fixture.connections() < open
    })
    .await;
    // What a link opens only to look at the server may have been counted above.
    drop((reader, sender));
    eventually("both links are gone from the server", || {
        fixture.connections() == none
    })
    .await;
}

/// "The stream ends, or yields an error and then ends, when the link is dead."
pub(crate) async fn a_cut_ends_every_link(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let idle = TestLink::connect(&*bus).await;
    let mut subscribed = TestLink::on(&*bus, &[1]).await;
    let sending = TestLink::connect(&*bus).await;
    subscribed.send(1, "before").await;
    subscribed.receives(1, "before").await;
    fixture.cut();
    for mut node in [idle, subscribed, sending] {
        ended(&mut node).await;
        let sent = within("sending", node.transmit.send(&[outbound(1, "lost")])).await;
        let error = sent.expect_err("a dead link sends nothing");
        assert_ne!(error.kind(), BusErrorKind::TooLarge, "{error}");
        let added = within("subscribing", node.transmit.subscribe(&[Lane(2)])).await;
        assert!(added.is_err(), "a dead link subscribes nothing");
    }
}

/// "The driver opens the next one": the bus itself outlives every link.
pub(crate) async fn connecting_works_after_the_cut_heals(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    for _ in 0..2 {
        let mut node = TestLink::on(&*bus, &[1]).await;
        fixture.cut();
        ended(&mut node).await;
        let refused = within("the refusal", bus.connect()).await;
        let error = refused.expect_err("nobody is there");
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        fixture.heal();
    }
    let mut node = TestLink::on(&*bus, &[1]).await;
    let mut other = TestLink::on(&*fixture.bus(), &[1]).await;
    node.send(1, "again").await;
    node.receives(1, "again").await;
    other.receives(1, "again").await;
}

/// "Dropping both halves closes it", in whatever state it is.
pub(crate) async fn dropping_a_link_leaves_nothing_open(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let none = fixture.connections();
    let mut reader = TestLink::on(&*bus, &[1]).await;
    reader.send(1, "first").await;
    reader.receives(1, "first").await;
    let before = fixture.connections();
    let idle = TestLink::connect(&*bus).await;
    let subscribed = TestLink::on(&*bus, &[1, 2, 3]).await;
    let mut unread = TestLink::on(&*bus, &[1]).await;
    unread.send(1, "for nobody").await;
    reader.receives(1, "for nobody").await;
    drop((idle, subscribed, unread));
    let TestLink { transmit, frames } = TestLink::on(&*bus, &[1]).await;
    drop(transmit);
    drop(frames);
    let TestLink { transmit, frames } = TestLink::on(&*bus, &[1]).await;
    drop(frames);
    drop(transmit);
    eventually("the dropped links are gone from the server", || {
        fixture.connections() <= before
    })
    .await;
    reader.send(1, "still here").await;
    reader.receives(1, "still here").await;
    // What a link opens only to look at the server may have been counted with the reader's.
    drop(reader);
    eventually("nothing is left on the server", || {
        fixture.connections() == none
    })
    .await;
}

/// "A dropped future must leave nothing running."
pub(crate) async fn dropping_a_connect_leaves_nothing_open(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let before = fixture.connections();
    for polls in 0..12 {
        let mut connecting = pin!(bus.connect());
        let mut left = polls;
        within(
            "the polls of a connect",
            poll_fn(|context| {
                if left == 0 || connecting.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                left -= 1;
                if left == 0 {
                    return Poll::Ready(());
                }
                Poll::Pending
            }),
        )
        .await;
    }
    eventually("the dropped attempts are gone from the server", || {
        fixture.connections() == before
    })
    .await;
    let mut node = TestLink::on(&*bus, &[1]).await;
    node.send(1, "still works").await;
    node.receives(1, "still works").await;
}

/// Requires that the stream ends, at once or after an error, and stays ended.
async fn ended(node: &mut TestLink) {
    loop {
        match within("the end of the link", node.frames.next()).await {
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                let after = within("the end of the stream", node.frames.next()).await;
                assert!(after.is_none(), "{after:?} after the error");
                return;
            }
            None => return,
        }
    }
}
