//! What a NATS server, and a cluster of them, does to its links.

mod common;

use std::fs;

use common::configured;
use futures::StreamExt;
use midplane_conformance::suite::{TestLink, outbound, refusal, without_echo};
use midplane_core::bus::{Bus, BusErrorKind, Lane};
use midplane_nats::Nats;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, within};

fn permitting(allowed: &str, denied: &str) -> String {
    let subjects = format!("{{ allow: \"{allowed}\", deny: \"{denied}\" }}");
    format!(
        "authorization {{ users = [ {{ user: ada, password: pw, permissions: {{ \
         publish: {subjects}, subscribe: {subjects} }} }} ] }}"
    )
}

#[test]
fn a_bus_says_which_server_it_is_connected_to() {
    let servers = [Server::nats(), Server::nats()];
    smol::block_on(async {
        let mut said = Vec::new();
        for server in [&servers[0], &servers[0], &servers[1]] {
            let bus = Nats::new(&server.url()).unwrap();
            assert_eq!(bus.broker(), None);
            TestLink::connect(&bus).await;
            said.push(bus.broker().expect("an identity"));
        }
        assert!(said[0].starts_with("nats server N"), "{said:?}");
        assert!(said[0] == said[1] && said[1] != said[2], "{said:?}");
    });
}

#[test]
fn what_begins_with_the_prefix_is_all_that_must_be_permitted_and_a_lane_that_is_not_is_denied() {
    let (server, _path, _directory) = configured(&permitting("midplane.*", "midplane.2"));
    let bus = Nats::new(&format!("nats://ada:pw@{}", server.address())).unwrap();
    smol::block_on(async {
        TestLink::working(&bus).await;
        // Not once by luck: the refusal comes before the proof would, and nothing but the proof resolves it.
        for _ in 0..20 {
            let mut node = TestLink::connect(&bus).await;
            node.transmit.subscribe(&[Lane(1), Lane(0)]).await.unwrap();
            let refused = node.transmit.subscribe(&[Lane(2)]);
            let error = within("the refusal", refused).await.unwrap_err();
            assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
            assert!(error.to_string().contains("midplane.2"), "{error}");
            assert_eq!(node.end().await, BusErrorKind::Denied);
        }
        for frame in [outbound(2, "frame"), without_echo(2, "frame")] {
            let mut node = TestLink::connect(&bus).await;
            node.transmit.send(&[frame]).await.unwrap();
            assert_eq!(node.end().await, BusErrorKind::Denied);
        }
    });
}

#[test]
fn a_permission_that_is_taken_away_ends_the_link() {
    let (server, path, _directory) = configured(&permitting("midplane.*", "nothing"));
    let bus = Nats::new(&format!("nats://ada:pw@{}", server.address())).unwrap();
    smol::block_on(async {
        let mut node = TestLink::on(&bus, &[0]).await;
        fs::write(&path, permitting("other.*", "nothing")).unwrap();
        server.reload();
        assert_eq!(node.end().await, BusErrorKind::Denied);
        let error = refusal(&bus).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("PREFIX.*"), "{error}");
        fs::write(&path, permitting("midplane.*", "nothing")).unwrap();
        server.reload();
        eventually("the reload", || {
            server
                .log()
                .matches("Reloaded server configuration")
                .count()
                == 2
        })
        .await;
        TestLink::working(&bus).await;
    });
}

#[test]
fn a_lost_connection_is_never_mended_behind_our_back() {
    let server = Server::nats();
    let proxy = Proxy::start(server.address());
    let bus = Nats::new(&server.url_at(proxy.address())).unwrap();
    smol::block_on(async {
        for _ in 0..20 {
            let mut node = TestLink::on(&bus, &[0]).await;
            // The server is there again before anyone notices that it was gone.
            proxy.refuse();
            proxy.accept();
            assert_eq!(node.end().await, BusErrorKind::Unreachable);
            assert!(node.frames.next().await.is_none());
            assert!(node.transmit.send(&[outbound(0, "frame")]).await.is_err());
            assert!(node.transmit.close().await.is_err());
            // Nor is it kept open: the two connections are those of the next link.
            let next = TestLink::connect(&bus).await;
            eventually("two connections", || proxy.connections() == 2).await;
            drop((node, next));
        }
    });
}

#[test]
fn the_first_server_of_a_cluster_that_answers_is_taken() {
    let server = Server::nats();
    let dead = Server::nats_with(&[]);
    dead.kill();
    let urls = format!("nats://{}, {}", dead.address(), server.url());
    smol::block_on(async {
        let bus = Nats::new(&urls).unwrap();
        for _ in 0..10 {
            TestLink::working(&bus).await;
        }
    });
}

#[test]
fn a_runtime_that_is_gone_ends_the_links_that_ran_on_it() {
    let server = Server::nats();
    let bus = Nats::new(&server.url()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut node = runtime.block_on(TestLink::on(&bus, &[0]));
    drop(runtime);
    smol::block_on(async {
        assert_eq!(node.end().await, BusErrorKind::Unreachable);
        assert!(node.transmit.send(&[outbound(0, "frame")]).await.is_err());
        TestLink::working(&bus).await;
    });
}
