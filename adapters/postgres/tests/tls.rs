//! TLS, as `sslmode` asks for it.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use common::sql;
use midplane_conformance::suite::{self, Proxied, TestLink, refusal};
use midplane_core::bus::{Bus, BusErrorKind};
use midplane_postgres::Postgres;
use midplane_testkit::certificates::Authority;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::{Server, SharedServer};
use midplane_testkit::{eventually, within};

static TRUSTED: LazyLock<Authority> = LazyLock::new(Authority::new);

/// A server with a certificate for these names.
fn server(names: &[&str]) -> Server {
    let signed = TRUSTED.sign(names);
    Server::postgres_with_tls(&signed.certificate, &signed.key)
}

// Every promise of a bus, over TLS.

static SERVER: SharedServer<Server> = SharedServer::new(|| server(&["127.0.0.1"]));

fn open(url: &str, prefix: &str) -> Arc<dyn Bus> {
    let url = format!("{url}?sslmode=verify-full&sslrootcert={}", TRUSTED.file());
    let bus = Postgres::new(&url).expect("a URL");
    Arc::new(bus.with_prefix(prefix).expect("a prefix"))
}

/// On one executor: what TLS adds to the link is the same on each.
#[test]
fn every_promise_of_a_bus_is_kept() {
    // It is started once.
    let _server = SERVER.get();
    for check in suite::CHECKS {
        suite::run(check.name, Executor::Smol, || {
            Proxied::new(SERVER.get(), open)
        });
    }
}

// Which servers are trusted.

/// Whether the connection of a link on this bus is encrypted, as the server sees it; or why there is none. The
/// link receives what it sends.
async fn encrypted(server: &Server, host: &str, query: &str) -> Result<bool, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);

    let (port, probe) = (
        server.address().port(),
        NEXT.fetch_add(1, Ordering::Relaxed),
    );
    let url = format!(
        "postgres://midplane:midplane@{host}:{port}/postgres?application_name=probe-{probe}{query}"
    );
    let bus = Postgres::new(&url).expect("a URL");
    if let Err(error) = within("connecting", bus.connect()).await {
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        return Err(error.to_string());
    }
    let mut node = TestLink::on(&bus, &[0]).await;
    let frame = vec![7; 5_000];
    node.send(0, frame.clone()).await;
    node.receives(0, frame).await;
    let query = format!(
        "SELECT CASE count(*) WHEN 1 THEN bool_and(ssl) END \
         FROM pg_stat_ssl NATURAL JOIN pg_stat_activity WHERE application_name = 'probe-{probe}'"
    );
    // The first link's connection is gone soon after it.
    let mut encrypted = None;
    eventually("one connection", || {
        encrypted = sql(&server.url(), &query);
        encrypted.is_some()
    })
    .await;
    Ok(encrypted.as_deref() == Some("t"))
}

#[test]
fn a_server_is_trusted_as_far_as_sslmode_says() {
    let right = Arc::new(server(&["localhost", "127.0.0.1"]));
    let misnamed = Arc::new(server(&["elsewhere"]));
    let plain = Arc::new(Server::postgres_with(&[]));
    let other = Authority::new();
    let (ours, theirs) = (&*TRUSTED.file(), &*other.file());
    let (here, none) = ("127.0.0.1", "");
    for executor in [Executor::Smol, Executor::TokioMulti, Executor::Threads] {
        for (server, host, mode, roots, expected) in [
            (&right, here, none, none, Ok(true)),
            (&right, here, "disable", none, Ok(false)),
            (&right, here, "prefer", none, Ok(true)),
            (&right, here, "require", none, Ok(true)),
            (&right, here, "require", ours, Ok(true)),
            (&right, here, "require", theirs, Err("trust")),
            (&right, here, "verify-ca", ours, Ok(true)),
            (&right, here, "verify-ca", theirs, Err("trust")),
            (&right, here, "verify-ca", none, Err("trust")),
            (&right, here, "verify-full", ours, Ok(true)),
            (&right, "localhost", "verify-full", ours, Ok(true)),
            (&right, here, "verify-full", none, Err("trust")),
            (&right, here, none, "system", Err("trust")),
            (&misnamed, here, "require", none, Ok(true)),
            (&misnamed, here, "verify-ca", ours, Ok(true)),
            (&misnamed, here, "verify-full", ours, Err("trust")),
            (&misnamed, "elsewhere", "verify-full", ours, Ok(true)),
            (&plain, here, "prefer", none, Ok(false)),
            (&plain, here, "require", none, Err("sslmode")),
            (&plain, here, "verify-full", ours, Err("sslmode")),
        ] {
            let mut query = String::new();
            // A name that the system does not know comes with its address.
            let address = if host == "elsewhere" { here } else { none };
            let parameters = [
                ("hostaddr", address),
                ("sslmode", mode),
                ("sslrootcert", roots),
            ];
            for (name, value) in parameters.into_iter().filter(|(_, value)| *value != none) {
                query.push_str(&format!("&{name}={value}"));
            }
            let server = server.clone();
            executor.run(async move {
                let found = encrypted(&server, host, &query).await;
                match (&found, expected) {
                    (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{host} {query}"),
                    (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                    _ => panic!("{host} {query}: {found:?} in place of {expected:?}"),
                }
            });
        }
    }
}

#[test]
fn a_file_of_certificates_that_is_missing_is_named() {
    Executor::Smol.run(async {
        let server = SERVER.get();
        let url = format!(
            "{}?sslmode=verify-full&sslrootcert=/no/such/file",
            server.url()
        );
        let bus = Postgres::new(&url).expect("a URL");
        let error = refusal(&bus).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("sslrootcert"), "{error}");
    });
}

/// The channel is bound by the certificate: the login of one who stands between, with another certificate, is refused.
#[test]
fn the_login_is_bound_to_the_channel_where_the_url_demands_it() {
    let server = SERVER.get();
    let plain = Server::postgres_with(&[]);
    for executor in [Executor::Smol, Executor::TokioMulti] {
        let server = server.clone();
        let bus = |server: &Server, mode: &str| {
            let url = format!("{}?channel_binding=require&sslmode={mode}", server.url());
            Postgres::new(&url).expect("a URL")
        };
        let (bound, unbound) = (bus(&server, "require"), bus(&plain, "prefer"));
        executor.run(async move {
            TestLink::working(&bound).await;
            let error = refusal(&unbound).await;
            assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
            assert!(error.to_string().contains("`channel_binding`"), "{error}");
            drop(server);
        });
    }
}
