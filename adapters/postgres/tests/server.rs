//! What a Postgres server does to its links, and what `NOTIFY` does to frames.

mod common;

use common::sql;
use futures::StreamExt;
use midplane_conformance::suite::{TestLink, outbound, refusal};
use midplane_core::bus::{Bus, BusErrorKind, Inbound};
use midplane_postgres::Postgres;
use midplane_testkit::server::{Server, SharedServer};
use midplane_testkit::within;

static SERVER: SharedServer<Server> = SharedServer::new(Server::postgres);

fn bus(url: &str, prefix: &str) -> Postgres {
    Postgres::new(url).unwrap().with_prefix(prefix).unwrap()
}

#[test]
fn a_backend_that_is_terminated_ends_its_link_alone() {
    let server = SERVER.get();
    smol::block_on(async {
        let mut other = TestLink::on(&bus(&server.url(), "terminated"), &[0]).await;
        let url = format!("{}?application_name=victim", server.url());
        let victim = bus(&url, "terminated");
        let mut victim = TestLink::on(&victim, &[0]).await;
        let ended = sql(
            &server.url(),
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name = 'victim'",
        );
        assert_eq!(ended.as_deref(), Some("1"));
        assert_eq!(victim.end().await, BusErrorKind::Unreachable);
        assert!(victim.transmit.send(&[outbound(0, "lost")]).await.is_err());
        other.send(0, "here").await;
        other.receives(0, "here").await;
    });
}

#[test]
fn a_bus_says_which_server_it_is_connected_to() {
    let (server, other) = (SERVER.get(), Server::postgres_with(&[]));
    sql(&server.url(), "CREATE ROLE plain LOGIN PASSWORD 'hunter2'");
    let plain = format!("postgres://plain:hunter2@{}/postgres", server.address());
    smol::block_on(async {
        let mut said = Vec::new();
        for url in [&server.url(), &plain, &other.url()] {
            let bus = bus(url, "who");
            assert_eq!(bus.broker(), None);
            TestLink::connect(&bus).await;
            said.push(bus.broker().expect("an identity"));
        }
        assert!(said[0].ends_with(", timeline 1"), "{said:?}");
        assert!(said[0] == said[1] && said[1] != said[2], "{said:?}");
    });
}

#[test]
fn a_pooler_that_keeps_no_connection_for_a_session_is_refused() {
    let server = SERVER.get();
    let of = |mode| {
        let pooler = Server::pgbouncer(&server, mode);
        let bus = bus(&pooler.url(), &format!("pooled_by_{mode}"));
        (pooler, bus)
    };
    smol::block_on(async {
        let (_session, bus) = of("session");
        TestLink::working(&bus).await;
        for mode in ["transaction", "statement"] {
            let (_pooler, bus) = of(mode);
            let error = refusal(&bus).await;
            assert_eq!(error.kind(), BusErrorKind::Protocol, "{error}");
            assert!(error.to_string().contains("a pooler"), "{error}");
            assert!(error.to_string().contains("pool_mode"), "{error}");
        }
    });
}

#[test]
fn the_password_is_asked_for_at_each_connect() {
    let server = SERVER.get();
    let bus = Postgres::new(&server.url().replace(":midplane@", ":old@")).unwrap();
    smol::block_on(async {
        let refused = refusal(&bus).await;
        assert_eq!(refused.kind(), BusErrorKind::Denied);
        TestLink::on(&bus.with_password(|| "midplane".to_owned()), &[0]).await;
    });
}

#[test]
fn equal_frames_of_one_transaction_all_arrive() {
    let server = SERVER.get();
    let bus = bus(&server.url(), "equal");
    smol::block_on(async {
        let mut node = TestLink::on(&bus, &[0]).await;
        let frames: Vec<_> = (0..600).map(|_| outbound(0, "same")).collect();
        node.send_all(&frames).await;
        node.send(0, "fence").await;
        for _ in 0..600 {
            node.receives(0, "same").await;
        }
        node.receives(0, "fence").await;
    });
}

#[test]
fn what_is_notified_by_hand_arrives_as_its_text() {
    let server = SERVER.get();
    let bus = bus(&server.url(), "By-Hand");
    smol::block_on(async {
        let mut node = TestLink::on(&bus, &[0]).await;
        sql(
            &server.url(),
            "NOTIFY \"By-Hand_0\", '{\"hello\": 1}'; NOTIFY \"By-Hand_00x\"",
        );
        node.receives(0, "{\"hello\": 1}").await;
    });
}

#[test]
fn a_link_whose_calls_take_in_too_much_is_over() {
    let server = SERVER.get();
    let bus = bus(&server.url(), "flood");
    smol::block_on(async {
        let mut node = TestLink::on(&bus.with_queue(1_000), &[0]).await;
        let frames: Vec<_> = (0..250).map(|_| outbound(0, "more and more")).collect();
        let error = loop {
            let sent = within("sending", node.transmit.send(&frames)).await;
            if let Err(error) = sent {
                break error;
            }
        };
        assert_eq!(error.kind(), BusErrorKind::Overflow, "{error}");
        let mut held = 0;
        let error = loop {
            match within("a frame", node.frames.next())
                .await
                .expect("an error first")
            {
                Ok(_) => held += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(held, 1_000 / ("more and more".len() + size_of::<Inbound>()));
        assert_eq!(error.kind(), BusErrorKind::Overflow);
    });
}

#[test]
fn a_server_that_is_killed_ends_every_link_and_is_found_again() {
    let server = Server::postgres_with(&[]);
    let dead = Server::postgres_with(&[]);
    dead.kill();
    let (host, ports) = (server.address().ip(), [dead.address(), server.address()]);
    let bus = Postgres::new(&format!(
        "host={host},{host} port={},{} user=midplane password=midplane dbname=postgres",
        ports[0].port(),
        ports[1].port()
    ))
    .unwrap();
    smol::block_on(async {
        let mut node = TestLink::on(&bus, &[0]).await;
        server.kill();
        assert_eq!(node.end().await, BusErrorKind::Unreachable);
        let refused = refusal(&bus).await;
        assert_eq!(refused.kind(), BusErrorKind::Unreachable);
        server.restart();
        let mut node = TestLink::on(&bus, &[0]).await;
        node.send(0, "again").await;
        node.receives(0, "again").await;
    });
}
