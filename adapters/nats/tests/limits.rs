//! What happens where a NATS server takes less than a node would send or subscribe to.

mod common;
#[path = "common/nodes.rs"]
mod nodes;

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use common::configured;
use futures::{FutureExt, StreamExt};
use midplane::{
    AssociateError, Attachment, Backplane, Cluster, ConnectionId, Event, Notice, Reach, Receipt,
    Refusal, Relay, Sink, State, Target, Verdict,
};
use midplane_conformance::suite::{TestLink, outbound, refusal};
use midplane_core::bus::{Bus, BusErrorKind, Lane};
use midplane_nats::Nats;
use midplane_testkit::executor::Executor;
use midplane_testkit::lock::locked;
use midplane_testkit::{eventually, succeeds, within};
use nodes::{are_live, node};

type Heard = Arc<Mutex<BTreeSet<String>>>;

/// A connection of this node, and the texts that it gets.
fn connection(node: &Cluster, id: &str) -> (Attachment, Heard) {
    let heard = Heard::default();
    let kept = heard.clone();
    let sink = Sink::new(move |event: &Event| {
        locked(&kept).extend(event.as_text().map(str::to_owned));
        Verdict::Accepted
    });
    let id = ConnectionId::new(id).expect("an id");
    (node.attach(id, sink), heard)
}

fn topic(name: &str) -> Target {
    Target::topic(name).expect("a topic")
}

fn publish(node: &Cluster, topic: &Target, text: &str) -> Receipt {
    node.publish(&topic.clone().into(), &Event::text(text))
}

fn is_too_large(receipt: &Receipt) -> bool {
    matches!(receipt.relay, Relay::Refused(Refusal::TooLarge(_)))
}

#[test]
fn the_smaller_limit_counts_and_one_that_holds_no_heartbeat_is_refused() {
    let (server, path, _directory) = configured("max_payload: 4096");
    let bus = Nats::new(&server.url()).unwrap();
    smol::block_on(async {
        assert_eq!(bus.limits().frame, 1 << 20);
        let mut node = TestLink::working(&bus).await;
        assert_eq!(bus.limits().frame, 4096);
        let sent = node.transmit.send(&[outbound(1, vec![7; 4097])]).await;
        assert_eq!(sent.unwrap_err().kind(), BusErrorKind::TooLarge);
        node.send(1, vec![7; 4096]).await;
        node.receives(1, vec![7; 4096]).await;
        assert_eq!(bus.clone().with_frame_limit(1000).limits().frame, 1000);

        fs::write(&path, "max_payload: 512").unwrap();
        server.restart();
        let error = refusal(&bus).await;
        assert_eq!(error.kind(), BusErrorKind::Protocol);
        assert!(error.to_string().contains("`max_payload`"), "{error}");
    });
}

#[test]
fn a_limit_that_is_lowered_costs_what_does_not_fit_and_nothing_else() {
    let (server, path, _directory) = configured("max_payload: 1MB");
    Executor::Threads.run(async move {
        let nodes = [node(&server.url(), 1), node(&server.url(), 1)];
        let news = topic("news");
        let (phone, heard) = connection(&nodes[1], "phone");
        succeeds("associating", phone.associate(&news)).await;
        are_live(&nodes).await;
        publish(&nodes[0], &news, "first");
        eventually("the first", || locked(&heard).contains("first")).await;
        fs::write(&path, "max_payload: 16KB").unwrap();
        server.reload();
        eventually("the reload", || {
            server.log().contains("Reloaded server configuration")
        })
        .await;

        let large = "x".repeat(60_000);
        // The first that does not fit finds the limit out.
        eventually("a refusal", || {
            is_too_large(&publish(&nodes[0], &news, &large))
        })
        .await;
        for number in 0..50 {
            let receipt = publish(&nodes[0], &news, &number.to_string());
            assert_eq!(receipt.relay, Relay::Queued);
        }
        let small = || locked(&heard).iter().filter(|text| text.len() < 3).count();
        let seen = small();
        eventually(format!("all that fit, behind {seen}"), || small() == 50).await;
        eventually("what did not fit is reported", || {
            nodes[1].status().missed.events > 0
        })
        .await;
        assert!(is_too_large(&publish(&nodes[0], &news, &large)));
    });
}

#[test]
fn lanes_over_the_limit_are_refused_and_the_link_lives() {
    let (server, _path, _directory) = configured("max_subscriptions: 20");
    let bus = Nats::new(&server.url()).unwrap();
    let lanes = |count| (0..count).map(Lane).collect::<Vec<_>>();
    smol::block_on(async {
        for _ in 0..2 {
            let mut node = TestLink::on(&bus, &[0, 1, 2]).await;
            let refused = within("a refusal", node.transmit.subscribe(&lanes(30))).await;
            let error = refused.expect_err("there are 20");
            assert_eq!(error.kind(), BusErrorKind::TooManyLanes, "{error}");
            assert!(error.to_string().contains("takes 20 sub"), "{error}");
            succeeds("20 lanes", node.transmit.subscribe(&lanes(20))).await;
            let one_more = node.transmit.subscribe(&[Lane(20)]).await;
            assert_eq!(one_more.unwrap_err().kind(), BusErrorKind::TooManyLanes);
            for lane in [0, 19] {
                node.send(lane, "here").await;
                node.receives(lane, "here").await;
            }
            node.unsubscribe(&[7]).await;
            succeeds("one in place", node.transmit.subscribe(&[Lane(20)])).await;
        }
    });
}

#[test]
fn a_client_that_joins_too_much_is_refused_and_nobody_else_notices() {
    let (server, _path, _directory) = configured("max_subscriptions: 20");
    Executor::Threads.run(async move {
        let nodes = [node(&server.url(), 1_024), node(&server.url(), 1_024)];
        let mut notices = nodes.each_ref().map(|node| node.notices());
        are_live(&nodes).await;
        let (others, heard) = connection(&nodes[1], "other");
        let news = topic("news");
        succeeds("associating", others.associate(&news)).await;
        let (greedy, all) = connection(&nodes[1], "greedy");
        let (mut joined, mut refused) = (Vec::new(), 0);
        for number in 0..40 {
            let topic = topic(&format!("t{number}"));
            match within("an answer", greedy.associate(&topic)).await {
                Ok(reach) => {
                    assert_eq!(reach, Reach::Everywhere);
                    joined.push(topic);
                }
                Err(error) => {
                    assert_eq!(error, AssociateError::BusFull);
                    assert!(!greedy.is_in(&topic));
                    refused += 1;
                }
            }
        }
        // Lane 0, that of the news, and 18 more; two topics may share a lane.
        assert!(joined.len() >= 18 && refused >= 15, "{}", joined.len());
        for topic in joined.iter().chain([&news]) {
            let receipt = publish(&nodes[0], topic, topic.id());
            assert_eq!(receipt.relay, Relay::Queued);
        }
        eventually("what was joined is heard", || {
            locked(&all).len() == joined.len() && locked(&heard).len() == 1
        })
        .await;
        for notices in &mut notices {
            while let Some(Some(notice)) = notices.next().now_or_never() {
                let harmless = matches!(
                    notice,
                    Notice::State(State::Degraded | State::Live) | Notice::Joined(_)
                );
                assert!(harmless, "{notice}");
            }
        }
        for node in &nodes {
            assert_eq!(node.state(), State::Live);
            assert_eq!(node.status().missed.events, 0);
        }
    });
}

/// A node that has more lanes than the server takes comes back with as many as that are.
#[test]
fn a_node_that_wants_too_much_comes_back_after_an_outage() {
    let (server, path, _directory) = configured("max_subscriptions: 60");
    Executor::Threads.run(async move {
        let nodes = [node(&server.url(), 1_024), node(&server.url(), 1_024)];
        are_live(&nodes).await;
        let (phone, heard) = connection(&nodes[1], "phone");
        let topics: Vec<_> = (0..40).map(|number| topic(&format!("t{number}"))).collect();
        for topic in &topics {
            let reach = succeeds("associating", phone.associate(topic)).await;
            assert_eq!(reach, Reach::Everywhere);
        }
        fs::write(&path, "max_subscriptions: 20").unwrap();
        server.restart();
        eventually("both are back", || {
            let live = nodes.iter().all(|node| node.state() == State::Live);
            live && topics
                .iter()
                .any(|topic| phone.reach(topic) == Some(Reach::Everywhere))
        })
        .await;
        let reached = |topic: &&Target| phone.reach(topic) == Some(Reach::Everywhere);
        let reached: Vec<_> = topics.iter().filter(reached).collect();
        assert!((18..=22).contains(&reached.len()), "{}", reached.len());
        for topic in &topics {
            publish(&nodes[0], topic, topic.id());
        }
        eventually("what is reached is heard", || {
            let heard = locked(&heard);
            reached.iter().all(|topic| heard.contains(topic.id()))
        })
        .await;
    });
}
