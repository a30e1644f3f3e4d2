//! A link receives what is sent on its lanes, and nothing else.

use std::sync::Arc;

use super::BusFixture;
use super::test_link::{TestLink, outbound};

/// "What arrives on the lanes that are subscribed."
pub(crate) async fn a_lane_not_subscribed_is_not_received(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut sender = TestLink::on(&*bus, &[2]).await;
    let mut node = TestLink::on(&*bus, &[1]).await;
    sender
        .send_all(&[outbound(2, "unheard"), outbound(1, "fence")])
        .await;
    node.receives(1, "fence").await;
    // Only within a lane is there an order, so the lane itself gets a fence too, once the frame is through.
    sender.receives(2, "unheard").await;
    node.subscribe(&[2]).await;
    sender.send(2, "fence").await;
    node.receives(2, "fence").await;
}

/// "It resolves when the server has them: what anyone sends on them afterwards arrives."
pub(crate) async fn what_is_sent_after_subscribe_is_received(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut sender = TestLink::connect(&*bus).await;
    let mut node = TestLink::connect(&*bus).await;
    for lane in 0..60 {
        node.subscribe(&[lane]).await;
        sender.send(lane, "at once").await;
        node.receives(lane, "at once").await;
    }
    // On a link's first subscription too.
    for lane in 0..5 {
        let mut fresh = TestLink::on(&*bus, &[lane, 100 + lane]).await;
        sender.send(100 + lane, "at once").await;
        fresh.receives(100 + lane, "at once").await;
    }
}

/// "A lane that is subscribed already stays so."
pub(crate) async fn subscribing_twice_delivers_once(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut node = TestLink::on(&*bus, &[1, 1]).await;
    node.subscribe(&[1]).await;
    node.subscribe(&[2, 1]).await;
    node.subscribe(&[]).await;
    node.send_all(&[outbound(1, "once"), outbound(1, "fence")])
        .await;
    node.receives(1, "once").await;
    node.receives(1, "fence").await;
    // However often it was subscribed, once is enough to be rid of it.
    node.unsubscribe(&[1]).await;
    node.subscribe(&[3]).await;
    node.send_all(&[outbound(1, "unheard"), outbound(3, "fence")])
        .await;
    node.receives(3, "fence").await;
}

/// "Takes the lanes from those that this link is subscribed to."
pub(crate) async fn an_unsubscribed_lane_is_not_received(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut sender = TestLink::on(&*bus, &[1]).await;
    let mut node = TestLink::on(&*bus, &[0, 1]).await;
    sender.send(1, "heard").await;
    sender.receives(1, "heard").await;
    node.receives(1, "heard").await;
    // A lane that was never subscribed is no error.
    node.unsubscribe(&[1, 9]).await;
    node.unsubscribe(&[]).await;
    // Subscribing is acknowledged and unsubscribing is not: once the one is done, so is the other.
    node.subscribe(&[2]).await;
    sender
        .send_all(&[outbound(1, "unheard"), outbound(0, "fence")])
        .await;
    node.receives(0, "fence").await;
    sender.receives(1, "unheard").await;
    node.subscribe(&[1]).await;
    sender.send(1, "heard again").await;
    node.receives(1, "heard again").await;
}

/// Two services share a server by having different prefixes.
pub(crate) async fn another_prefix_is_not_received(fixture: Arc<dyn BusFixture>) {
    let mut ours = TestLink::on(&*fixture.bus(), &[0, 1]).await;
    let mut theirs = TestLink::on(&*fixture.other_prefix(), &[0, 1]).await;
    for lane in [0, 1] {
        ours.send(lane, "ours").await;
        ours.receives(lane, "ours").await;
        theirs.send(lane, "theirs").await;
        theirs.receives(lane, "theirs").await;
        ours.send(lane, "fence").await;
        ours.receives(lane, "fence").await;
    }
}
