//! What Postgres has that other buses do not.

use futures::StreamExt;
use midplane_core::bus::{Bus, BusError, BusErrorKind, Inbound, Lane, Link, Outbound};
use midplane_postgres::Postgres;
use midplane_testkit::server::{Server, SharedServer};
use midplane_testkit::within;
use tokio_postgres::{NoTls, SimpleQueryMessage};

static SERVER: SharedServer = SharedServer::new(Server::postgres);

/// Runs SQL on a connection of its own, and gives the first value.
fn sql(url: &str, text: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("SQL");
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(text).await.expect("it is SQL");
        drop(client);
        connection.await.expect("no panic").expect("a goodbye");
        messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
            _ => None,
        })
    })
}

fn outbound(frame: &'static str) -> Outbound {
    Outbound {
        lane: Lane(0),
        frame: frame.into(),
    }
}

async fn listening(bus: &Postgres) -> Link {
    let mut link = within("connecting", bus.connect()).await.expect("a link");
    let subscribed = link.transmit.subscribe(&[Lane(0)]);
    within("subscribing", subscribed).await.expect("subscribed");
    link
}

async fn next(link: &mut Link) -> Result<Vec<u8>, BusError> {
    let inbound = within("a frame", link.frames.next()).await;
    inbound
        .expect("the stream goes on")
        .map(|inbound| inbound.frame.to_vec())
}

#[test]
fn a_backend_that_is_terminated_ends_its_link_alone() {
    let server = SERVER.get();
    let bus = Postgres::new(&server.url())
        .unwrap()
        .with_prefix("terminated")
        .unwrap();
    smol::block_on(async {
        let mut other = listening(&bus).await;
        let victim = Postgres::new(&format!("{}?application_name=victim", server.url())).unwrap();
        let mut victim = listening(&victim.with_prefix("terminated").unwrap()).await;
        let ended = sql(
            &server.url(),
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name = 'victim'",
        );
        assert_eq!(ended.as_deref(), Some("1"));
        assert_eq!(
            next(&mut victim).await.unwrap_err().kind(),
            BusErrorKind::Unreachable
        );
        assert!(victim.frames.next().await.is_none());
        assert!(victim.transmit.send(&[outbound("lost")]).await.is_err());
        other.transmit.send(&[outbound("here")]).await.unwrap();
        assert_eq!(next(&mut other).await.unwrap(), b"here");
    });
}

#[test]
fn the_password_is_asked_for_at_each_connect() {
    let server = SERVER.get();
    let bus = Postgres::new(&server.url().replace(":midplane@", ":old@")).unwrap();
    smol::block_on(async {
        let refused = within("the refusal", bus.connect()).await.unwrap_err();
        assert_eq!(refused.kind(), BusErrorKind::Denied);
        listening(&bus.with_password(|| "midplane".to_owned())).await;
    });
}

#[test]
fn equal_frames_of_one_transaction_all_arrive() {
    let server = SERVER.get();
    let bus = Postgres::new(&server.url())
        .unwrap()
        .with_prefix("equal")
        .unwrap();
    smol::block_on(async {
        let mut link = listening(&bus).await;
        let frames: Vec<_> = (0..600).map(|_| outbound("same")).collect();
        link.transmit.send(&frames).await.unwrap();
        link.transmit.send(&[outbound("fence")]).await.unwrap();
        for _ in 0..600 {
            assert_eq!(next(&mut link).await.unwrap(), b"same");
        }
        assert_eq!(next(&mut link).await.unwrap(), b"fence");
    });
}

#[test]
fn what_is_notified_by_hand_arrives_as_its_text() {
    let server = SERVER.get();
    let bus = Postgres::new(&server.url())
        .unwrap()
        .with_prefix("By-Hand")
        .unwrap();
    smol::block_on(async {
        let mut link = listening(&bus).await;
        sql(
            &server.url(),
            "NOTIFY \"By-Hand_0\", '{\"hello\": 1}'; NOTIFY \"By-Hand_00x\"",
        );
        assert_eq!(next(&mut link).await.unwrap(), b"{\"hello\": 1}");
    });
}

#[test]
fn a_link_whose_calls_take_in_too_much_is_over() {
    let server = SERVER.get();
    let bus = Postgres::new(&server.url())
        .unwrap()
        .with_prefix("flood")
        .unwrap();
    smol::block_on(async {
        let mut link = listening(&bus.with_queue(1_000)).await;
        let frames: Vec<_> = (0..250).map(|_| outbound("more and more")).collect();
        let error = loop {
            let sent = within("sending", link.transmit.send(&frames)).await;
            if let Err(error) = sent {
                break error;
            }
        };
        assert_eq!(error.kind(), BusErrorKind::Overflow, "{error}");
        let mut held = 0;
        let error = loop {
            match next(&mut link).await {
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
        let mut link = listening(&bus).await;
        server.kill();
        assert_eq!(
            next(&mut link).await.unwrap_err().kind(),
            BusErrorKind::Unreachable
        );
        let refused = within("the refusal", bus.connect()).await.unwrap_err();
        assert_eq!(refused.kind(), BusErrorKind::Unreachable);
        server.restart();
        let mut link = listening(&bus).await;
        link.transmit.send(&[outbound("again")]).await.unwrap();
        assert_eq!(next(&mut link).await.unwrap(), b"again");
    });
}
