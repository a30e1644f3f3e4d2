//! With several lanes a node is subscribed to those with members on it and to no other, on every bus.

use std::sync::Arc;

use midplane::Timer;
use midplane::bus::Bus;
use midplane::connect::Settings;
use midplane_conformance::routing::{RoutingScene, measure};
use midplane_testkit::server::Server;

const SCENE: RoutingScene = RoutingScene {
    nodes: 3,
    lanes: 1,
    connections: 4,
    publishes: 100,
};

fn check(url: &str) {
    let timer: Arc<dyn Timer> = Arc::new(midplane::smol::Timer::new());
    let settings = Settings::parse(url).expect("a url");
    smol::block_on(async {
        for lanes in [1, 64] {
            // Nodes of one scene that still leave send to those that come late what these might miss.
            let settings = settings.clone().with_prefix(&format!("lanes{lanes}"));
            let settings = settings.expect("a short prefix");
            let bus: Arc<dyn Bus> = settings.open(&*timer).await.expect("a bus");
            let scene = RoutingScene { lanes, ..SCENE };
            let received = measure(scene, || bus.clone(), &timer, midplane::smol::spawn).await;
            for node in &received {
                assert_eq!(node.arrived, node.expected, "of {lanes} lanes");
            }
            let frames: u64 = received.iter().map(|node| node.frames()).sum();
            let all = ((scene.nodes - 1) * scene.publishes) as u64;
            // Each of twelve connections has two targets, so no node has a third of 64 lanes.
            assert_eq!(frames == all, lanes == 1, "{frames} of {all}");
        }
    });
}

#[test]
fn in_memory() {
    check("memory:");
}

#[test]
fn on_redis() {
    check(&Server::redis().url());
}

#[test]
fn on_nats() {
    check(&Server::nats().url());
}

#[test]
fn on_postgres() {
    check(&Server::postgres().url());
}
