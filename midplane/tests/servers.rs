//! A bus is opened over every server, and is loud where there is none.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use common::{is_child, said_in_environment};
use midplane::Timer;
use midplane::connect::{ConnectError, Settings};
use midplane_conformance::suite::TestLink;
use midplane_testkit::certificates::Authority;
use midplane_testkit::error::shown;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::{RedisCluster, Server};
use midplane_testkit::{succeeds, within};

const EXECUTORS: [Executor; 4] = [
    Executor::Smol,
    Executor::TokioCurrent,
    Executor::TokioMulti,
    Executor::Threads,
];

/// The clock that belongs to the executor.
fn timer(executor: Executor) -> Arc<dyn Timer> {
    match executor {
        Executor::Smol => Arc::new(midplane::smol::Timer::new()),
        Executor::TokioCurrent | Executor::TokioMulti => Arc::new(midplane::tokio::Timer::new()),
        _ => Arc::new(midplane::threads::Timer::new()),
    }
}

fn settings(backplane: &str, url: &str) -> Settings {
    let settings = Settings::named(Some(backplane), Some(url), Some("chat"));
    settings.expect("it is sound").expect("it is set")
}

/// One bus sends, and another one of the same settings receives it.
async fn works(settings: &Settings, timer: &dyn Timer) {
    let open = async || succeeds("opening", settings.open(timer)).await;
    let mut receiver = TestLink::on(&*open().await, &[3]).await;
    let mut sender = TestLink::connect(&*open().await).await;
    sender.send(3, "across").await;
    receiver.receives(3, "across").await;
}

/// Over this server, then without it, and then with it again.
fn comes_and_goes(backplane: &'static str, start: fn() -> Server) {
    let server = Arc::new(start());
    for executor in EXECUTORS {
        let server = server.clone();
        executor.run(async move {
            let timer = timer(executor);
            let settings = settings(backplane, &server.url());
            works(&settings, &*timer).await;
            server.kill();
            let error = within("the refusal", settings.open(&*timer)).await;
            let error = error.expect_err("nobody is there");
            assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains("MIDPLANE_BACKPLANE_URL"), "{message}");
            assert!(message.contains(&server.address().to_string()), "{message}");
            server.restart();
            works(&settings, &*timer).await;
        });
    }
}

#[test]
fn a_redis_comes_and_goes() {
    comes_and_goes("redis", || Server::redis_with(&[]));
}

#[test]
fn a_nats_comes_and_goes() {
    comes_and_goes("nats", || Server::nats_with(&[]));
}

#[test]
fn a_cluster_and_a_master_behind_a_sentinel_are_found() {
    let cluster = RedisCluster::start();
    let master = Server::redis_with(&[]);
    let sentinel = Server::redis_sentinel("chat", &master);
    for url in [
        format!("redis+cluster://{}", cluster.addresses()),
        sentinel.url(),
    ] {
        let settings = settings("redis", &url);
        Executor::Smol.run(async move { works(&settings, &*timer(Executor::Smol)).await });
    }
}

#[test]
fn a_postgres_comes_and_goes() {
    comes_and_goes("postgres", || Server::postgres_with(&[]));
}

#[test]
fn wrong_credentials_are_loud_and_stay_secret() {
    let redis = Server::redis_with(&["--requirepass", "right"]);
    let nats = Server::nats_with(&["--user", "ada", "--pass", "right"]);
    let postgres = Server::postgres_with(&[]);
    let [redis, nats, postgres] = [&redis, &nats, &postgres].map(|server| server.address());
    for (backplane, url) in [
        ("redis", format!("redis://:hunter2@{redis}")),
        ("valkey", format!("valkey://hunter2:hunter2@{redis}")),
        ("nats", format!("nats://ada:hunter2@{nats}")),
        ("nats", format!("nats://hunter2@{nats}")),
        (
            "postgres",
            format!("postgres://ada:hunter2@{postgres}/postgres"),
        ),
        (
            "postgres",
            format!("postgres://{postgres}/postgres?user=ada&password=hunter2"),
        ),
    ] {
        let settings = settings(backplane, &url);
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        Executor::Smol.run(async move {
            let timer = timer(Executor::Smol);
            let error = within("the refusal", settings.open(&*timer)).await;
            let error = error.expect_err("it is refused");
            assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
            let shown = shown(&error);
            assert!(shown.contains("MIDPLANE_BACKPLANE_URL"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        });
    }
}

/// The kernel takes the connection, and nobody ever answers.
#[test]
fn a_server_that_is_silent_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    for executor in EXECUTORS {
        for backplane in ["redis", "nats", "postgres"] {
            let url = format!("{backplane}://u:hunter2@{address}");
            let settings = settings(backplane, &url).with_deadline(Duration::from_millis(50));
            executor.run(async move {
                let timer = timer(executor);
                let error = within("the deadline", settings.open(&*timer)).await;
                let error = error.expect_err("nobody answers");
                assert!(matches!(error, ConnectError::Late { .. }), "{error:?}");
                let shown = shown(&error);
                assert!(shown.contains("MIDPLANE_BACKPLANE_URL"), "{shown}");
                assert!(
                    shown.contains(backplane) && shown.contains("50ms"),
                    "{shown}"
                );
                assert!(!shown.contains("hunter2"), "{shown}");
            });
        }
    }
}

/// The next test, run by itself in this environment, opens what it names there.
fn opened_in_environment(variables: &[(&str, &str)]) -> String {
    said_in_environment("what_the_environment_names_is_opened", variables)
}

#[test]
fn what_the_environment_names_is_opened() {
    if !is_child() {
        return;
    }
    let said = Executor::Smol.run(async {
        let settings = Settings::from_env()
            .expect("it is sound")
            .expect("it is set");
        let opened = settings.open(&*timer(Executor::Smol)).await;
        opened.map_or_else(|error| shown(&error), |_| "yes".to_owned())
    });
    println!("environment: {}", said.replace('\n', " "));
}

/// Every adapter asks for the system's certificates, in the one way in which they can be replaced.
#[test]
fn an_authority_of_ones_own_is_named_by_ssl_cert_file() {
    let authority = Authority::new();
    let signed = authority.sign(&["localhost", "127.0.0.1"]);
    let (certificate, key) = (&*signed.certificate_file, &*signed.key_file);
    // The first `--port`, which the fixture gives, is taken back: only TLS is spoken.
    let flags = [
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-auth-clients",
        "no",
    ];
    let files = ["--tls-cert-file", certificate, "--tls-key-file", key];
    let redis = Server::redis_with(&[&flags[..], &files].concat());
    let nats = Server::nats_with(&["--tls", "--tlscert", certificate, "--tlskey", key]);
    let postgres = Server::postgres_with_tls(&signed.certificate, &signed.key);
    for url in [
        format!("rediss://{}", redis.address()),
        format!("tls://{}", nats.address()),
        format!("{}?sslmode=verify-full", postgres.url()),
    ] {
        let url = ("MIDPLANE_BACKPLANE_URL", &*url);
        let refused = opened_in_environment(&[url]);
        assert!(refused.contains("MIDPLANE_BACKPLANE_URL"), "{refused}");
        let trusted = opened_in_environment(&[url, ("SSL_CERT_FILE", &authority.file())]);
        assert_eq!(trusted, "yes", "{url:?}");
    }
}
