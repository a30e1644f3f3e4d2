//! What people call by hand, and who may call what.

use std::process::Command;

use bytes::Bytes;
use midplane_completions::{BackendErrorKind, Execution, Ledger, ProduceError, Producer, Scan};
use midplane_completions_suite::script::{
    begin, execution, expect, handle, next_trouble, run, subscribe as subscribe_to,
};
use midplane_postgres::PostgresStore;
use midplane_testkit::succeeds;

use crate::sql::Sql;
use crate::test_store::{TestStore, prompt, store};
use crate::work::subscribe;

/// What `psql` prints for a statement.
fn psql(test: &TestStore, statement: &str) -> String {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--dbname"])
        .arg(test.server().url())
        .args(["--command", &test.in_schema(statement)])
        .output()
        .expect("psql is installed: apt-get install postgresql-client");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{statement}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn an_execution_finishes_by_hand_with_text_json_or_bytes() {
    smol::block_on(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test, prompt()).await;
        for (number, (statement, bytes)) in [
            (
                r#"complete('ID', '{"a":"x\ny"}')"#,
                Some(&br#"{"a":"x\ny"}"#[..]),
            ),
            (r"fail('ID', E'a\\b\nc'::text)", Some(b"a\\b\nc")),
            (
                r#"cancel('ID', '{"a": "x\ny"}'::jsonb)"#,
                Some(br#"{"a": "x\ny"}"#),
            ),
            (
                r#"expire('ID', '{"b":1,  "a":2}'::json)"#,
                Some(br#"{"b":1,  "a":2}"#),
            ),
            (r"skip('ID', '\x00ff'::bytea)", Some(b"\x00\xff")),
            ("complete('ID', 'š'::varchar(10))", Some("š".as_bytes())),
            ("complete('ID')", None),
            ("complete('ID', NULL)", None),
            ("finish('ID', 'failure', 'text')", Some(b"text")),
            ("finish('ID', 'failure', '[1]'::jsonb)", Some(b"[1]")),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("job {number}");
            let statement = statement.replace("ID", &id);
            psql(&test, &format!("SELECT midplane.start('{id}')"));
            let call = format!("SELECT midplane.{statement}");
            assert_eq!(psql(&test, &call), "t", "{statement}");
            assert_eq!(psql(&test, &call), "f", "{statement} again");
            let arrived = expect(&mut stream, &id).await;
            assert_eq!(arrived.bytes.as_deref(), bytes, "{statement}");
        }
    });
}

#[test]
fn an_execution_finishes_by_a_driver_with_typed_parameters() {
    smol::block_on(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test, prompt()).await;
        let sql = test.open().await;
        for kind in ["text", "varchar", "json", "jsonb", "bytea"] {
            begin(&test.store(), kind).await;
            let call = test.in_schema(&format!("SELECT midplane.complete($1::text, $2::{kind})"));
            sql.call(&call, kind, r#"{"a": 1}"#).await;
            let arrived = expect(&mut stream, kind).await;
            assert_eq!(arrived.bytes, Some(Bytes::from_static(b"{\"a\": 1}")));
        }
    });
}

/// A page of all that is not handled.
pub(crate) fn everything() -> Scan {
    Scan::new(100)
}

/// A store as a role of this name, which may do what the procedure allows.
pub(crate) async fn allowed(test: &TestStore, procedure: &str) -> (PostgresStore, String) {
    let role = format!("{}-{procedure}", test.schema);
    test.sql(&format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD 'pass'; CALL midplane.{procedure}('\"{role}\"')"
    ))
    .await;
    let url = format!(
        "postgres://{role}:pass@{}/postgres",
        test.server().address()
    );
    (store(&url, &test.schema), url)
}

#[test]
fn a_producer_can_finish_and_cannot_mark_as_handled() {
    smol::block_on(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test, prompt()).await;
        let (producer, url) = allowed(&test, "allow_producer").await;
        run(&producer, "job").await;
        expect(&mut stream, "job").await;
        let sql = Sql::open(&url).await;
        for forbidden in [
            "UPDATE midplane.executions SET handled_at = now()",
            "DELETE FROM midplane.executions",
            "DELETE FROM midplane.outbox",
            "UPDATE midplane.outbox SET execution = 'other'",
            "UPDATE midplane.store SET trimmed = 7",
            "INSERT INTO midplane.executions (id, outcome, handled_at) VALUES ('x', 'success', now())",
            "SELECT midplane.prune(0)",
        ] {
            let error = sql.ask(&test.in_schema(forbidden)).await.unwrap_err();
            let code = error.code().map(|code| code.code().to_owned());
            assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {error}");
        }
        let page = succeeds("scanning", test.store().scan(&everything())).await;
        assert_eq!(page.completions.len(), 1, "it is not handled");
    });
}

#[test]
fn a_listener_can_handle_and_cannot_finish() {
    smol::block_on(async {
        let test = TestStore::start();
        let (listener, _) = allowed(&test, "allow_listener").await;
        let mut stream = subscribe_to(&listener.backend()).await;
        run(&test.store(), "job").await;
        expect(&mut stream, "job").await;
        handle(&listener, &["job"]).await;
        let page = succeeds("scanning", listener.scan(&everything())).await;
        assert!(page.completions.is_empty());
        let started = listener.start(&Execution::new(execution("other"))).await;
        let Err(ProduceError::Backend(error)) = started else {
            panic!("it may not start, and {started:?}");
        };
        assert_eq!(error.kind(), BackendErrorKind::Denied);
    });
}

/// A role that may follow the history, and no more, until that is taken from it.
#[test]
fn rights_that_are_revoked_while_a_stream_runs_are_reported() {
    smol::block_on(async {
        let test = TestStore::start();
        let (follower, _) = allowed(&test, "allow_follower").await;
        let backend = follower.backend().with_pace(prompt());
        let mut stream = subscribe_to(&backend).await;
        run(&test.store(), "job").await;
        expect(&mut stream, "job").await;
        let role = format!("{}-allow_follower", test.schema);
        let schema = &test.schema;
        test.sql(&format!(
            "REVOKE USAGE ON SCHEMA \"{schema}\" FROM \"{role}\""
        ))
        .await;
        let trouble = next_trouble(&mut stream).await;
        assert_eq!(trouble.kind, BackendErrorKind::Denied, "{trouble:?}");
        assert!(trouble.text.contains("permission denied"), "{trouble:?}");
    });
}
