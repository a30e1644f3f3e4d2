//! What programs publish that are no nodes reaches the connections of every node, and harms none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use midplane::bus::{Bus, Keys, Lane, Link, Outbound, Signing};
use midplane::core::ExternalCounts;
use midplane::node::Config;
use midplane::smol::{Timer, spawn};
use midplane::{
    Attachment, Backplane, Cluster, ClusterBuilder, ConnectionId, Event, Memory, Notice, Sink,
    State, Target, fresh_node_id, json,
};
use midplane_testkit::eventually;

/// The largest frame, and so the largest message.
const LIMIT: usize = 4 << 10;

struct Node {
    cluster: Cluster,
    _phone: Attachment,
    heard: Arc<Mutex<Vec<Event>>>,
}

impl Node {
    async fn start(bus: &Memory, builder: ClusterBuilder) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(bus.clone());
        let id = fresh_node_id().unwrap();
        let (cluster, driver) = builder.build(id, bus, Arc::new(Timer::new()));
        spawn(driver);
        let heard = Arc::<Mutex<Vec<Event>>>::default();
        let kept = heard.clone();
        let sink = Sink::new(move |event: &Event| kept.lock().unwrap().push(event.clone()));
        let phone = cluster.attach(ConnectionId::new("phone").unwrap(), sink);
        phone.associate(&Target::topic("t").unwrap()).await.unwrap();
        let live = cluster
            .notices()
            .any(async |notice| notice == Notice::State(State::Live));
        assert!(live.await);
        Self {
            cluster,
            _phone: phone,
            heard,
        }
    }

    async fn received(&self, events: &[&str]) {
        eventually("every event arrives", || {
            self.heard.lock().unwrap().len() >= events.len()
        })
        .await;
        let heard = self.heard.lock().unwrap();
        let texts: Vec<_> = heard.iter().filter_map(Event::as_text).collect();
        assert_eq!(texts, events);
    }

    /// The counts of external messages, once they add up to `messages`.
    async fn counts(&self, messages: u64) -> ExternalCounts {
        let counts = || self.cluster.status().external;
        eventually("every message is counted", || {
            counts().understood + counts().refused >= messages
        })
        .await;
        counts()
    }
}

fn config() -> Config {
    Config {
        heartbeat: Duration::from_secs(1),
        lanes: 16,
        ..Config::default()
    }
}

async fn send(publisher: &mut Link, lane: Lane, text: impl Into<Bytes>) {
    let frame = text.into();
    let echo = false;
    let frames = [Outbound { lane, frame, echo }];
    publisher.transmit.send(&frames).await.unwrap();
}

fn message(event: &str) -> String {
    format!(r#"{{"target":{{"type":"topic","id":"t"}},"event":{event}}}"#)
}

/// What is not signed is closed where signatures are required, and open where they are not.
#[test]
fn json_is_refused_where_signatures_are_required() {
    smol::block_on(async {
        let bus = Memory::new();
        let keys = || Keys::new([(1, &[7; 32][..])]).unwrap();
        let listening = |signing| {
            let builder = Cluster::builder(config()).with_external(json::decode);
            builder.with_signing(signing)
        };
        let signs = Node::start(&bus, listening(Signing::sign(keys()))).await;
        let requires = Node::start(&bus, listening(Signing::require(keys()))).await;
        let mut publisher = bus.connect().await.unwrap();
        send(&mut publisher, Lane::JSON, message("1")).await;
        signs.received(&["1"]).await;
        let fence = Event::text("fence");
        let _ = signs
            .cluster
            .publish(&Target::topic("t").unwrap().into(), &fence);
        requires.received(&["fence"]).await;
        let counts = requires.counts(1).await;
        assert_eq!((counts.understood, counts.refused), (0, 1));
        let refusal = counts.refusal.unwrap();
        assert!(refusal.contains("signatures are required"), "{refusal}");
    });
}

#[test]
fn json_reaches_every_node_that_listens_and_harms_none() {
    smol::block_on(async {
        let bus = Memory::new();
        let small = bus.clone().with_frame_limit(LIMIT);
        let listening = || Cluster::builder(config()).with_external(json::decode);
        let nodes = [
            Node::start(&small, listening()).await,
            Node::start(&small, listening()).await,
        ];
        let unsubscribed = Node::start(&small, Cluster::builder(config())).await;
        let mut publisher = bus.connect().await.unwrap();
        send(&mut publisher, Lane::JSON, message("1")).await;
        for hostile in [
            Bytes::new(),
            Bytes::from_static(&[0xff; 100]),
            Bytes::from_static(b"[[[[[["),
            Bytes::from(message(&"9".repeat(LIMIT))),
        ] {
            send(&mut publisher, Lane::JSON, hostile).await;
        }
        // On any other lane it is no frame, and is counted as such.
        send(&mut publisher, Lane(0), message("2")).await;
        send(&mut publisher, Lane::JSON, message("3")).await;
        for node in &nodes {
            node.received(&["1", "3"]).await;
        }
        // The fence: what a node says on the lane of the topic comes behind all of it.
        let fence = Event::text("fence");
        let _ = nodes[0]
            .cluster
            .publish(&Target::topic("t").unwrap().into(), &fence);
        for node in &nodes {
            node.received(&["1", "3", "fence"]).await;
            // The driver records the counts when it rests.
            let counts = node.counts(6).await;
            assert_eq!((counts.understood, counts.refused), (2, 4));
            let refusal = counts.refusal.unwrap();
            assert!(refusal.contains("limit is 4096"), "{refusal}");
            assert_eq!(node.cluster.state(), State::Live);
        }
        unsubscribed.received(&["fence"]).await;
        assert_eq!(unsubscribed.cluster.status().external.understood, 0);
    });
}
