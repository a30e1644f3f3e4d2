//! What a NATS server, and a cluster of them, does to its links.

mod common;

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use common::configured;
use futures::StreamExt;
use futures::future::{Either, select};
use midplane_conformance::suite::{TestLink, outbound};
use midplane_core::bus::{Bus, BusErrorKind, Lane};
use midplane_nats::Nats;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, within};

fn permitting(subjects: &str) -> String {
    format!(
        "authorization {{ users = [ {{ user: ada, password: pw, permissions: {{ \
         publish: [{subjects}], subscribe: [{subjects}] }} }} ] }}"
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
fn lanes_are_all_that_must_be_permitted_and_one_that_is_not_is_denied() {
    let (server, _path, _directory) = configured(&permitting("\"midplane.0\", \"midplane.1\""));
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
        let mut node = TestLink::connect(&bus).await;
        node.transmit.send(&[outbound(2, "frame")]).await.unwrap();
        assert_eq!(node.end().await, BusErrorKind::Denied);
    });
}

#[test]
fn a_permission_that_is_taken_away_ends_the_link() {
    let (server, path, _directory) = configured(&permitting("\"midplane.*\""));
    let bus = Nats::new(&format!("nats://ada:pw@{}", server.address())).unwrap();
    smol::block_on(async {
        let mut node = TestLink::on(&bus, &[0]).await;
        fs::write(&path, permitting("\"other.*\"")).unwrap();
        server.reload();
        assert_eq!(node.end().await, BusErrorKind::Denied);
        let mut node = TestLink::connect(&bus).await;
        assert!(
            within("no", node.transmit.subscribe(&[Lane(0)]))
                .await
                .is_err()
        );
        fs::write(&path, permitting("\"midplane.*\"")).unwrap();
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
            // Nor is it kept open: the one connection is that of the next link.
            let next = TestLink::connect(&bus).await;
            eventually("one connection", || proxy.connections() == 1).await;
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
fn the_servers_of_a_cluster_carry_frames_to_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let route = format!("nats://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let name = ["--cluster_name", "shop"];
    let one = Server::nats_with(&[&name[..], &["--cluster", &route]].concat());
    let joining = ["--cluster", "nats://127.0.0.1:-1", "--routes", &route];
    let two = Server::nats_with(&[&name[..], &joining].concat());
    smol::block_on(async {
        let mut near = TestLink::connect(&Nats::new(&one.url()).unwrap()).await;
        let mut far = TestLink::connect(&Nats::new(&two.url()).unwrap()).await;
        near.transmit.subscribe(&[Lane(0)]).await.unwrap();
        // The servers find each other, and learn of the subscription, in their own time.
        within("a frame through both", async {
            let mut heard = near.frames.next();
            loop {
                far.transmit.send(&[outbound(0, "frame")]).await.unwrap();
                let wait = smol::Timer::after(Duration::from_millis(20));
                match select(heard, wait).await {
                    Either::Left((frame, _)) => break assert!(matches!(frame, Some(Ok(_)))),
                    Either::Right((_, still)) => heard = still,
                }
            }
        })
        .await;
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
