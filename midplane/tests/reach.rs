//! How far a target reaches, asked without joining it.

use std::sync::Arc;

use futures::StreamExt;
use midplane::node::Config;
use midplane::{
    Backplane, Cluster, ConnectionId, Event, Memory, Notice, Reach, Sink, State, Target,
    fresh_node_id,
};

/// A connection that joins while the bus is away reaches its own node, and every node when the bus is back.
#[test]
fn a_target_that_was_joined_without_a_bus_reaches_everywhere_later() {
    smol::block_on(async {
        let bus = Memory::new();
        bus.block();
        let config = Config {
            lanes: 64,
            ..Config::default()
        };
        let timer = Arc::new(midplane::smol::Timer::new());
        let id = fresh_node_id().unwrap();
        let (cluster, driver) = Cluster::new(id, Arc::new(bus.clone()), timer, config);
        midplane::smol::spawn(driver);

        let id = ConnectionId::new("one").unwrap();
        let attachment = cluster.attach(id.clone(), Sink::new(|_: &Event| {}));
        assert_eq!(attachment.reach(&Target::topic("t").unwrap()), None);
        let (own, topic) = (Target::Connection(id), Target::topic("t").unwrap());
        assert_eq!(attachment.associate(&topic).await, Ok(Reach::Here));
        assert_eq!(attachment.reach(&topic), Some(Reach::Here));

        let mut notices = cluster.notices();
        bus.unblock();
        while notices.next().await.expect("it becomes live") != Notice::State(State::Live) {}
        for target in [&own, &topic] {
            assert_eq!(attachment.reach(target), Some(Reach::Everywhere));
        }
        attachment.detach().await;
        assert_eq!(attachment.reach(&topic), None);
    });
}
