//! What a Redis server does to its links, on the executors that the driver runs on differently.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use midplane_conformance::suite::{TestLink, outbound, refusal};
use midplane_core::bus::{Bus, BusErrorKind, Lane};
use midplane_redis::Redis;
use midplane_testkit::error::shown;
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::server::Server;
use midplane_testkit::within;

const EXECUTORS: [Executor; 3] = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];

/// A user that may do what the documentation says it must be allowed to, and no more.
fn with_user(server: &Server) -> String {
    let rules = "reset on >hunter2 &midplane:* +hello +subscribe +unsubscribe +publish";
    acl(server, rules);
    format!("redis://chat:hunter2@{}", server.address())
}

fn acl(server: &Server, rules: &str) {
    let rules: Vec<_> = rules.split(' ').collect();
    let answer = server.redis_command(&[&["ACL", "SETUSER", "chat"], &rules[..]].concat());
    assert_eq!(answer, "+OK\r\n");
}

#[test]
fn a_bus_says_which_server_it_is_connected_to_where_it_may() {
    Executor::Smol.run(async {
        let servers = [Server::redis_with(&[]), Server::redis_with(&[])];
        let mut said = Vec::new();
        for server in [&servers[0], &servers[0], &servers[1]] {
            let bus = Redis::new(&server.url()).expect("a url");
            assert_eq!(bus.broker(), None);
            TestLink::connect(&bus).await;
            let id = server.redis_command(&["INFO", "server"]);
            let broker = bus.broker().expect("an identity");
            assert!(id.contains(broker.strip_prefix("redis ").expect("its kind")));
            said.push(broker);
        }
        assert!(said[0] == said[1] && said[1] != said[2], "{said:?}");
        let bus = Redis::new(&with_user(&servers[0])).expect("a url");
        TestLink::working(&bus).await;
        assert_eq!(bus.broker(), None);
    });
}

#[test]
fn a_subscribed_connection_that_is_killed_ends_the_link_and_an_idle_one_does_not() {
    for executor in EXECUTORS {
        executor.run(async {
            let server = Server::redis_with(&[]);
            let bus = Redis::new(&server.url()).expect("a url");
            let mut node = TestLink::working(&bus).await;
            for _ in 0..3 {
                let answer = server.redis_command(&["CLIENT", "KILL", "TYPE", "normal"]);
                assert_eq!(answer, ":1\r\n");
                node.send(1, "here").await;
                node.receives(1, "here").await;
            }
            let answer = server.redis_command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            assert_eq!(answer, ":1\r\n");
            assert_eq!(node.end().await, BusErrorKind::Unreachable);
            node.transmit
                .send(&[outbound(1, "late")])
                .await
                .expect_err("it is dead");
            TestLink::working(&bus).await;
        });
    }
}

/// Nothing here runs between the kill and the publish, so that the publish is the first to notice.
#[test]
fn a_publish_that_its_own_link_does_not_hear_is_no_success() {
    Executor::TokioCurrent.run(async {
        let server = Server::redis_with(&[]);
        let bus = Redis::new(&server.url()).expect("a url");
        let mut node = TestLink::working(&bus).await;
        let answer = server.redis_command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        assert_eq!(answer, ":1\r\n");
        let sent = within("sending", node.transmit.send(&[outbound(1, "lost")])).await;
        let error = sent.expect_err("nobody received it");
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
    });
}

#[test]
fn a_permission_that_is_taken_ends_the_link_and_heals() {
    for executor in EXECUTORS {
        executor.run(async {
            let server = Server::redis_with(&[]);
            let bus = Redis::new(&with_user(&server)).expect("a url");
            let mut node = TestLink::working(&bus).await;
            acl(&server, "resetchannels");
            node.end().await;
            let mut node = TestLink::connect(&bus).await;
            let refused = node.transmit.subscribe(&[Lane(1)]).await;
            let error = refused.expect_err("the channel is not allowed");
            assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
            node.end().await;

            acl(&server, "&midplane:* -publish");
            let mut node = TestLink::connect(&bus).await;
            let refused = node.transmit.send(&[outbound(1, "mute")]).await;
            let error = refused.expect_err("publishing is not allowed");
            assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
            node.end().await;

            acl(&server, "+publish");
            TestLink::working(&bus).await;
        });
    }
}

#[test]
fn a_password_that_is_rotated_is_denied_until_it_is_told() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let password = Arc::new(Mutex::new("hunter2"));
        let current = password.clone();
        let bus = Redis::new(&with_user(&server))
            .expect("a url")
            .with_password(move || (*current.lock().expect("nobody panics")).to_owned());
        let node = TestLink::working(&bus).await;
        acl(&server, "resetpass >hunter3");
        let error = refusal(&bus).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
        *password.lock().expect("nobody panics") = "hunter3";
        TestLink::working(&bus).await;
        drop(node);
    });
}

#[test]
fn a_server_that_is_full_is_unreachable_until_someone_leaves() {
    Executor::TokioMulti.run(async {
        let server = Server::redis_with(&["--maxclients", "2"]);
        let bus = Redis::new(&server.url()).expect("a url");
        let node = TestLink::working(&bus).await;
        let error = refusal(&bus).await;
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        drop(node);
        // The server sees in its own time that they left.
        within("connecting", async {
            while bus.connect().await.is_err() {}
        })
        .await;
    });
}

/// A server without `HELLO` quotes the command back, with the password in it.
#[test]
fn a_server_without_hello_does_not_make_us_show_the_password() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&["--rename-command", "HELLO", ""]);
        let url = format!("redis://:hunter2@{}", server.address());
        let bus = Redis::new(&url).expect("a url");
        let error = refusal(&bus).await;
        assert_eq!(error.kind(), BusErrorKind::Protocol, "{error}");
        let shown = shown(&error);
        assert!(!shown.contains("hunter2"), "{shown}");
    });
}

#[test]
fn a_connection_cut_at_any_byte_yields_whole_frames_and_then_ends() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let proxy = Proxy::start(server.address());
        let bus = Redis::new(&server.url_at(proxy.address())).expect("a url");
        for way in [Way::ToClient, Way::ToServer] {
            for bytes in 0..64 {
                let mut node = TestLink::working(&bus).await;
                proxy.cut_after(way, Some(bytes));
                // Whether it fails is a matter of where the cut is.
                let _ = within("sending", node.transmit.send(&[outbound(1, "cut me")])).await;
                let _ = within("sending", node.transmit.send(&[outbound(1, "cut me")])).await;
                loop {
                    let next = within("a frame or the end", node.frames.next()).await;
                    match next.expect("an error first") {
                        Ok(inbound) => assert_eq!(inbound.frame, "cut me"),
                        Err(error) => {
                            assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
                            break;
                        }
                    }
                }
            }
        }
        for way in [Way::ToClient, Way::ToServer] {
            proxy.slice(way, true);
        }
        TestLink::working(&bus).await;
    });
}

/// A replica goes on serving its own subscribers, so a link receives what it sends: the server must be asked.
#[test]
fn a_master_that_is_demoted_ends_the_link_at_its_next_send() {
    for executor in EXECUTORS {
        executor.run(async {
            let server = Server::redis_with(&[]);
            let master = Server::redis_with(&[]);
            let bus = Redis::new(&server.url()).expect("a url");
            let mut node = TestLink::working(&bus).await;
            let port = master.address().port().to_string();
            let answer = server.redis_command(&["REPLICAOF", "127.0.0.1", &port]);
            assert_eq!(answer, "+OK\r\n");
            let error = within("the notice", async {
                loop {
                    if let Err(error) = node.transmit.send(&[outbound(1, "kept to itself")]).await {
                        return error;
                    }
                }
            })
            .await;
            assert_eq!(error.kind(), BusErrorKind::Unreachable);
            assert!(error.to_string().contains("is a replica"), "{error}");
            let error = refusal(&bus).await;
            assert!(error.to_string().contains("is a replica"), "{error}");

            let answer = server.redis_command(&["REPLICAOF", "NO", "ONE"]);
            assert_eq!(answer, "+OK\r\n");
            TestLink::working(&bus).await;
        });
    }
}

#[test]
fn a_link_is_closed_once_and_closing_it_again_does_nothing() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let bus = Redis::new(&server.url()).expect("a url");
        let mut node = TestLink::working(&bus).await;
        node.transmit.close().await.expect("it is closed");
        node.transmit.close().await.expect("nothing is done");
        assert!(node.frames.next().await.is_none());
    });
}
