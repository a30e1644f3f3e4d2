//! The two connections of a link: what comes back by them, and what happens when either fails.

#[path = "common/nodes.rs"]
mod nodes;

use std::net::TcpListener;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::{Either, join_all, select};
use midplane::{Backplane, Notice};
use midplane_conformance::suite::{TestLink, outbound, refusal, without_echo};
use midplane_core::bus::{Bus, BusErrorKind};
use midplane_nats::Nats;
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::server::Server;
use midplane_testkit::wait::pause;
use midplane_testkit::{eventually, until, within};
use nodes::{HEARTBEAT, are_live, node};

/// How a connection says in its `CONNECT` which one it is.
const FIRST: &str = "\"echo\":false";
const SECOND: &str = "\"echo\":true";

/// Whether a connection on which this was sent is this one.
fn is(which: &str) -> impl Fn(&[u8]) -> bool {
    move |said| String::from_utf8_lossy(said).contains(which)
}

fn bus(url: &str) -> Nats {
    Nats::new(url).expect("a URL")
}

#[test]
fn a_link_receives_none_of_its_own_but_what_has_to_come_back() {
    let server = Server::nats();
    let bus = bus(&server.url());
    smol::block_on(async {
        let mut node = TestLink::on(&bus, &[0, 1]).await;
        let mut other = TestLink::on(&bus, &[0, 1]).await;
        for lane in [0, 1] {
            let frames = [without_echo(lane, "event"), outbound(lane, "fence")];
            node.send_all(&frames).await;
            node.receives(lane, "fence").await;
            other.receives(lane, "event").await;
            other.receives(lane, "fence").await;
        }
    });
}

/// A link that subscribes once an echo is back gets nothing of what its sender sent before.
#[test]
fn an_echo_comes_behind_all_that_was_sent_before() {
    let server = Server::nats();
    let bus = bus(&server.url());
    smol::block_on(async {
        let mut sender = TestLink::on(&bus, &[0]).await;
        let mut node = TestLink::on(&bus, &[1]).await;
        for number in 0..10 {
            let event = |part: u32| without_echo(1, format!("{part} of {number}"));
            let mut frames: Vec<_> = (0..100).map(event).collect();
            frames.push(outbound(0, "echo"));
            sender.send_all(&frames).await;
            sender.receives(0, "echo").await;
            let mut late = TestLink::on(&bus, &[1]).await;
            sender.send_all(&[event(100)]).await;
            late.receives(1, format!("100 of {number}")).await;
            for part in 0..=100 {
                node.receives(1, format!("{part} of {number}")).await;
            }
        }
    });
}

#[test]
fn a_cut_of_either_connection_ends_the_link_and_closes_the_other() {
    let server = Server::nats();
    let proxy = Proxy::start(server.address());
    let bus = bus(&server.url_at(proxy.address()));
    smol::block_on(async {
        for which in [FIRST, SECOND] {
            let mut node = TestLink::working(&bus).await;
            assert_eq!(proxy.reset_where(is(which)), 1, "{which}");
            assert_eq!(node.end().await, BusErrorKind::Unreachable);
            let frames = [without_echo(1, "event"), outbound(1, "heartbeat")];
            for frame in frames {
                let sent = within("an error", node.transmit.send(&[frame])).await;
                assert!(sent.is_err(), "{which}");
            }
            assert!(within("an error", node.transmit.close()).await.is_err());
            eventually("neither is open", || proxy.connections() == 0).await;
        }
        TestLink::working(&bus).await;
    });
}

/// Frames of the other node go on to arrive where nothing of ours is sent any more, so no ping would notice that.
#[test]
fn either_connection_that_is_half_open_is_noticed_by_heartbeats() {
    Executor::Threads.run(async move {
        let held = [
            (FIRST, Way::ToServer),
            (FIRST, Way::ToClient),
            (SECOND, Way::ToServer),
            (SECOND, Way::ToClient),
        ];
        let noticed = held.map(|(which, way)| async move {
            let server = Server::nats_with(&[]);
            let proxy = Proxy::start(server.address());
            let urls = [server.url_at(proxy.address()), server.url()];
            let nodes = urls.map(|url| node(&url, 1));
            are_live(&nodes).await;
            eventually("they know each other", || {
                nodes.iter().all(|node| node.status().members.len() == 1)
            })
            .await;
            let mut notices = nodes[0].notices();
            assert_eq!(proxy.hold_where(way, is(which)), 1, "{which}");
            let since = Instant::now();
            within("the link is given up", async {
                while !matches!(notices.next().await, Some(Notice::Bus(_))) {}
            })
            .await;
            let (took, busy) = (since.elapsed(), Duration::from_secs(3));
            let patience = HEARTBEAT * 2 + HEARTBEAT / 8;
            assert!(took < patience + busy, "{which} {way:?}: {took:?}");
            // The next link is a whole one.
            are_live(&nodes).await;
        });
        join_all(noticed).await;
    });
}

#[test]
fn two_servers_that_are_not_joined_under_one_name_are_refused_by_name() {
    let servers = [Server::nats_with(&[]), Server::nats_with(&[])];
    let proxy = Proxy::start(servers[0].address());
    let behind = bus(&servers[0].url_at(proxy.address()));
    smol::block_on(async {
        let mut identities = Vec::new();
        for server in &servers {
            let direct = bus(&server.url());
            TestLink::working(&direct).await;
            identities.push(direct.broker().expect("an identity"));
        }
        proxy.lead_in_turn(&servers.each_ref().map(Server::address));
        let error = refusal(&behind).await;
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        for words in identities.iter().map(String::as_str).chain(["one cluster"]) {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(behind.broker(), None);
        eventually("nothing is left open", || proxy.connections() == 0).await;
    });
}

/// Two servers of one cluster.
fn joined() -> [Server; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let route = format!("nats://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let name = ["--cluster_name", "shop"];
    let one = Server::nats_with(&[&name[..], &["--cluster", &route]].concat());
    let joining = ["--cluster", "nats://127.0.0.1:-1", "--routes", &route];
    [one, Server::nats_with(&[&name[..], &joining].concat())]
}

#[test]
fn the_servers_of_a_cluster_carry_frames_to_each_other() {
    let [one, two] = joined();
    smol::block_on(async {
        let mut near = TestLink::connect(&bus(&one.url())).await;
        let mut far = TestLink::connect(&bus(&two.url())).await;
        near.subscribe(&[0]).await;
        // The servers find each other, and learn of the subscription, in their own time.
        within("a frame through both", async {
            let mut heard = near.frames.next();
            loop {
                far.transmit.send(&[outbound(0, "frame")]).await.unwrap();
                match select(heard, pin!(pause())).await {
                    Either::Left((frame, _)) => break assert!(matches!(frame, Some(Ok(_)))),
                    Either::Right((_, still)) => heard = still,
                }
            }
        })
        .await;
    });
}

#[test]
fn two_servers_of_one_cluster_bring_back_what_has_to_come_back() {
    let servers = joined();
    let proxy = Proxy::start(servers[0].address());
    let behind = bus(&servers[0].url_at(proxy.address()));
    smol::block_on(async {
        proxy.lead_in_turn(&servers.each_ref().map(Server::address));
        // The servers find each other in their own time.
        until("a link", async || behind.connect().await.ok()).await;
        for _ in 0..5 {
            let mut node = TestLink::working(&behind).await;
            node.subscribe(&[0, 2, 3]).await;
            node.send(3, "back").await;
            node.receives(3, "back").await;
        }
    });
}
