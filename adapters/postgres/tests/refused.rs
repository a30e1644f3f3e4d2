//! What is said of a login that a Postgres server refuses.

mod common;

use common::sql;
use midplane_conformance::suite::{TestLink, refusal};
use midplane_core::bus::{BusError, BusErrorKind};
use midplane_postgres::Postgres;
use midplane_testkit::error::shown;
use midplane_testkit::server::{Server, SharedServer};

static SERVER: SharedServer<Server> = SharedServer::new(Server::postgres);

/// The URL of a user of this name, with a password of its own, on this database.
fn url(server: &Server, user: &str, database: &str) -> String {
    format!("postgres://{user}:hunter2@{}/{database}", server.address())
}

async fn refused(url: &str) -> BusError {
    let error = refusal(&Postgres::new(url).unwrap()).await;
    assert!(!shown(&error).contains("hunter2"), "{error:?}");
    error
}

fn says(error: &BusError, words: &str) {
    let text = error.to_string();
    assert!(text.contains(words), "{text}");
    let blames = text.contains("password") || text.contains("look at the user");
    assert_eq!(blames, error.kind() == BusErrorKind::Denied, "{text}");
}

#[test]
fn the_server_s_own_words_are_said_and_only_a_refused_login_blames_the_credentials() {
    let server = SERVER.get();
    sql(
        &server.url(),
        "CREATE ROLE full_up LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 0; \
         CREATE ROLE nologin NOLOGIN PASSWORD 'hunter2'",
    );
    smol::block_on(async {
        let error = refused(&url(&server, "full_up", "postgres")).await;
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        says(&error, "too many connections for role \"full_up\"");

        let error = refused(&url(&server, "midplane", "postgres")).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
        says(
            &error,
            "password authentication failed for user \"midplane\"",
        );

        let error = refused(&url(&server, "nologin", "postgres")).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
        says(&error, "is not permitted to log in");

        let nowhere = server.url().replace("/postgres", "/nowhere");
        let error = refusal(&Postgres::new(&nowhere).unwrap()).await;
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        says(&error, "database \"nowhere\" does not exist");

        let nobody = format!("postgres://midplane@{}/postgres", server.address());
        let error = refused(&nobody).await;
        assert_eq!(error.kind(), BusErrorKind::Denied, "{error}");
        says(&error, "password missing");
    });
}

#[test]
fn a_server_that_is_full_says_so() {
    let server = Server::postgres_with(&["max_connections=4", "superuser_reserved_connections=2"]);
    sql(&server.url(), "CREATE ROLE ada LOGIN PASSWORD 'hunter2'");
    let url = url(&server, "ada", "postgres");
    smol::block_on(async {
        let bus = Postgres::new(&url).unwrap();
        let kept = [
            TestLink::on(&bus, &[0]).await,
            TestLink::on(&bus, &[0]).await,
        ];
        let error = refused(&url).await;
        assert_eq!(error.kind(), BusErrorKind::Unreachable, "{error}");
        says(&error, "remaining connection slots are reserved");
        drop(kept);
    });
}
