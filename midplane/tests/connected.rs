//! Planes over every server: live when they are connected, and an error that says why where they are not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures::StreamExt;
use midplane::{ConnectError, Error, Event, Item, Plane, Reach, Target};
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::{succeeds, within};

const EXECUTORS: [Executor; 3] = [Executor::Smol, Executor::TokioCurrent, Executor::Threads];

/// Two planes at this URL, of which one publishes and the other receives.
fn reaches(url: &str) {
    for executor in EXECUTORS {
        let url = url.to_owned();
        executor.run(async move {
            let here = succeeds("connecting", Plane::connect(&url)).await;
            let there = succeeds("connecting", Plane::connect(&url)).await;
            assert!(here.is_ready() && there.is_ready());
            let mut phone = here.attach();
            let target = Target::user(7).unwrap();
            let reach = succeeds("associating", phone.associate(&target)).await;
            assert_eq!(reach, Reach::Everywhere);
            assert!(there.publish(&target, "hello").is_relayed());
            let item = within("the event", phone.next()).await;
            assert_eq!(item, Some(Item::Event(Event::text("hello"))));
            for plane in [here, there] {
                assert_eq!(within("the close", plane.close()).await.unsent, 0);
            }
        });
    }
}

#[test]
fn planes_reach_each_other_over_redis() {
    reaches(&Server::redis().url());
}

#[test]
fn planes_reach_each_other_over_nats() {
    reaches(&Server::nats().url());
}

#[test]
fn planes_reach_each_other_over_postgres() {
    reaches(&Server::postgres().url());
}

#[test]
fn credentials_that_are_refused_are_said_and_not_shown() {
    let redis = Server::redis_with(&["--requirepass", "right"]);
    let nats = Server::nats_with(&["--user", "ada", "--pass", "right"]);
    let postgres = Server::postgres_with(&[]);
    for url in [
        format!("redis://:hunter2@{}", redis.address()),
        format!("nats://ada:hunter2@{}", nats.address()),
        format!("postgres://ada:hunter2@{}/postgres", postgres.address()),
    ] {
        Executor::TokioCurrent.run(async move {
            let refused = within("the refusal", Plane::connect(&url)).await;
            let Err(Error::Connect(error)) = refused else {
                panic!("{refused:?}");
            };
            assert!(matches!(*error, ConnectError::Refused { .. }), "{error:?}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        });
    }
}

/// The kernel takes the connection, and nobody ever answers.
#[test]
fn a_server_that_is_silent_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    for scheme in ["redis", "nats", "postgres"] {
        let url = format!("{scheme}://u:hunter2@{address}");
        Executor::TokioCurrent.run(async move {
            let before = Instant::now();
            let builder = Plane::builder(&url).deadline(Duration::from_millis(50));
            let refused = within("the deadline", builder.connect()).await;
            let Err(Error::Connect(error)) = refused else {
                panic!("{refused:?}");
            };
            assert!(matches!(*error, ConnectError::NotLive { .. }), "{error:?}");
            assert!(error.to_string().contains("50ms"), "{error}");
            assert!(before.elapsed() >= Duration::from_millis(50));
        });
    }
}
