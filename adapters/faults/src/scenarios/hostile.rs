//! Events that are too large, and frames that no node sent.

use std::time::Duration;

use bytes::Bytes;
use midplane::bus::{Lane, Outbound};
use midplane::core::TooLarge;
use midplane::envelope::{FrameWriter, Header, Heartbeat, LaneProgress, Message, NodeId};
use midplane::{Audience, Event, Refusal, Relay, Scope};
use midplane_conformance::history::{Fact, hash};

use crate::harness::prefix;
use crate::workload::lobby;
use crate::{Broker, HEARTBEAT, Harness, Route};

/// An event that does not fit a frame is refused with its size, and nothing happens to the link; the largest that
/// fits arrives.
pub fn oversize(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Direct);
    let audience = Audience::from(lobby());
    for cluster in harness.clusters() {
        let node = &cluster.nodes()[0];
        let mut publisher = node.publisher();
        let limit = broker.bus(harness.address(), "any").limits().frame;
        // The refusal says what the event needs beside its padding.
        let receipt = publisher.publish(&audience, limit);
        let Relay::Refused(Refusal::TooLarge(TooLarge { bytes, limit })) = receipt.relay else {
            panic!("{:?}", receipt.relay);
        };
        let surplus = bytes - limit;
        let receipt = publisher.publish(&audience, limit - surplus + 1);
        assert_eq!(
            receipt.relay,
            Relay::Refused(Refusal::TooLarge(TooLarge {
                bytes: limit + 1,
                limit
            })),
            "one byte too many"
        );
        let receipt = publisher.publish(&audience, limit - surplus);
        assert_eq!(receipt.relay, Relay::Queued, "the largest");
    }
    harness.pass(HEARTBEAT);
    harness.finish();
}

/// An unknown sender publishes bytes that are no frame, frames of another version, and frames in the name of a node,
/// with numbers up to the highest. No node is muted by them, and none panics.
pub fn frames_that_nobody_sent(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Direct);
    harness.fault_begins();
    for cluster in harness.clusters() {
        let bus = broker.bus(harness.address(), &prefix(cluster.executor()));
        let origin = cluster.nodes()[0].id();
        let limit = bus.limits().frame;
        cluster.recorder().record(Fact::Forged {
            hash: hash(&forged()),
        });
        for node in cluster.nodes() {
            cluster.recorder().record(Fact::Impersonated {
                node: node.id(),
                origin,
                lane: 0,
            });
        }
        let frames: Vec<Outbound> = hostile(origin, limit)
            .into_iter()
            .map(|frame| Outbound {
                lane: Lane(0),
                frame,
                echo: false,
            })
            .collect();
        cluster.executor().run(async move {
            let mut transmit = bus.connect().await.expect("a link").transmit;
            // Some servers let only subscribers publish.
            transmit.subscribe(&[Lane(0)]).await.expect("subscribed");
            for frame in &frames {
                let sent = transmit.send(std::slice::from_ref(frame)).await;
                sent.expect("the bus takes anything");
            }
            transmit.close().await.expect("all is sent");
        });
    }
    // Eight heartbeats refute what was sent in the name of a node.
    harness.pass(HEARTBEAT * 8);
    harness.fault_ends();
    harness.finish();
}

fn forged() -> Event {
    Event::text("forged")
}

fn hostile(origin: NodeId, limit: usize) -> Vec<Bytes> {
    let event = Message::Publish {
        scope: Scope::default(),
        audience: lobby().into(),
        event: forged(),
    };
    let beat = |number| {
        Message::Heartbeat(Heartbeat {
            version: "forged".into(),
            hello: true,
            lanes: vec![LaneProgress {
                lane: 0,
                last: number,
                at: Duration::from_micros(u64::MAX),
                keeps: 0,
                gone: Duration::ZERO,
            }],
            ..Heartbeat::default()
        })
    };
    let mut frames = vec![
        Bytes::new(),
        Bytes::from_static(&[0]),
        Bytes::from_static(&[1]),
        Bytes::from_static(&[200, 1, 2, 3]),
        Bytes::from_static(b"no frame at all, but text"),
        vec![255; 1_000].into(),
    ];
    for first in [u64::MAX, u64::MAX - 1, 1 << 40, 1] {
        for message in [&event, &beat(first)] {
            let numbered = matches!(message, Message::Publish { .. });
            let header = Header::new(origin, 0, if numbered { first } else { 0 });
            let mut writer = FrameWriter::new(header, limit).expect("a header fits");
            writer.push(message).expect("a message fits");
            frames.push(writer.finish());
        }
    }
    frames
}
