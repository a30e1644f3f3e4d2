//! The schema of earlier versions, with what was in it, is brought up to date.

use std::time::Duration;

use midplane_completions::{
    CompletionBackend, Cursor, ErrorText, Filter, Group, GroupName, GroupStart, Groups, Ledger,
    Scan, Settled, Take, Verdict,
};
use midplane_completions_suite::script::{
    complete, execution, expect, handle, run, subscribe_from,
};
use midplane_testkit::succeeds;

use crate::sql::Sql;
use crate::test_store::{TestStore, prompt, store};

/// The migrations of earlier versions, which never change.
const BEFORE: [&str; 10] = [
    include_str!("../../migrations/1_tables.sql"),
    include_str!("../../migrations/2_history.sql"),
    include_str!("../../migrations/3_producers.sql"),
    include_str!("../../migrations/4_ledger.sql"),
    include_str!("../../migrations/5_commit.sql"),
    include_str!("../../migrations/6_take.sql"),
    include_str!("../../migrations/7_interface.sql"),
    include_str!("../../migrations/8_errors.sql"),
    include_str!("../../migrations/9_look.sql"),
    include_str!("../../migrations/10_plans.sql"),
];

/// The migrations before dead letters had errors, and before there were groups.
const WITHOUT_ERRORS: usize = 7;
const WITHOUT_GROUPS: usize = 10;

/// A schema with this many migrations, and a connection.
async fn lay_out(test: &TestStore, schema: &str, migrations: usize) -> Sql {
    let sql = Sql::open(&test.server().url()).await;
    let place = |text: &str| text.replace("\"midplane\"", &format!("\"{schema}\""));
    sql.run(&place(&format!(
        "CREATE SCHEMA \"midplane\"; CREATE TABLE \"midplane\".migrations (
            version integer PRIMARY KEY,
            applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
        ); INSERT INTO \"midplane\".migrations SELECT generate_series(1, {migrations})"
    )))
    .await;
    for migration in &BEFORE[..migrations] {
        sql.run(&place(migration)).await;
    }
    sql
}

#[test]
fn what_the_first_build_left_is_kept_and_goes_on() {
    smol::block_on(async {
        let test = TestStore::start();
        let schema = format!("{}-first", test.schema);
        let sql = lay_out(&test, &schema, 4).await;
        let place = |text: &str| text.replace("\"midplane\"", &format!("\"{schema}\""));
        sql.run(&place(
            "DO $$ BEGIN
                PERFORM \"midplane\".start(id, 'flow', 'space') FROM unnest(ARRAY['a', 'b', 'c', 'running']) AS id;
                PERFORM \"midplane\".complete(id, 'bytes') FROM unnest(ARRAY['a', 'b', 'c']) AS id;
            END $$; DO $$ BEGIN
                PERFORM \"midplane\".handled(ARRAY[execution], ARRAY[token])
                FROM \"midplane\".claim(ARRAY['a'], 60000000);
            END $$",
        ))
        .await;
        // The cursor of the first completion, as the first build wrote it.
        let id = sql
            .run(&place("SELECT to_hex(id) FROM \"midplane\".store"))
            .await;
        let number = "SELECT to_hex(number) FROM \"midplane\".outbox WHERE execution = 'a'";
        let number = sql.run(&place(number)).await;
        let (id, number) = (id.expect("an id"), number.expect("a number"));
        let cursor: Cursor = format!("postgres.{id}.1.{number:0>16}")
            .parse()
            .expect("a cursor");

        let store = store(&test.server().url(), &schema);
        succeeds("migrating", store.migrate()).await;
        let backend = store.backend().with_pace(prompt());
        let mut stream = subscribe_from(&backend, &cursor, &Filter::all()).await;
        for id in ["b", "c"] {
            let arrived = expect(&mut stream, id).await;
            assert_eq!(arrived.bytes.as_deref(), Some(&b"bytes"[..]));
        }
        complete(&store, "running").await;
        let last = expect(&mut stream, "running").await;
        run(&store, "new").await;
        expect(&mut stream, "new").await;
        let cursor = last.cursor.expect("a cursor");
        let mut resumed = subscribe_from(&backend, &cursor, &Filter::all()).await;
        expect(&mut resumed, "new").await;
        let page = succeeds("scanning", store.scan(&crate::interface::everything())).await;
        let left: Vec<_> = page
            .completions
            .iter()
            .map(|done| done.execution.as_str())
            .collect();
        assert_eq!(left, ["b", "c", "running", "new"]);
        drop(backend.subscribe_completions().await);
    });
}

/// A listener of the version before goes on, and its dead letters have no errors; a role that was allowed to listen by it may
/// keep them.
#[test]
fn a_listener_that_was_allowed_before_keeps_errors() {
    smol::block_on(async {
        let test = TestStore::start();
        let schema = format!("{}-before", test.schema);
        let role = format!("{schema}-listener");
        let sql = lay_out(&test, &schema, WITHOUT_ERRORS).await;
        sql.run(&format!(
            "CREATE ROLE \"{role}\" LOGIN PASSWORD 'pass'; CALL \"{schema}\".allow_listener('\"{role}\"')"
        ))
        .await;
        sql.run(&format!(
            "SELECT \"{schema}\".start('old'); SELECT \"{schema}\".complete('old')"
        ))
        .await;
        let owner = store(&test.server().url(), &schema);
        succeeds("migrating", owner.migrate()).await;
        // A listener of the version before settles on.
        sql.run(&format!(
            "SELECT \"{schema}\".settle(ARRAY[execution], ARRAY[token], '{{dead}}', '{{0}}')
            FROM \"{schema}\".take(NULL, NULL, 1, 1, 60000000)"
        ))
        .await;
        run(&owner, "new").await;
        let address = test.server().address();
        let listener = store(
            &format!("postgres://{role}:pass@{address}/postgres"),
            &schema,
        );
        let lease = Duration::from_secs(60);
        let taken = succeeds("taking", listener.take(&Take::new(9), lease)).await;
        let settled = taken.work.into_iter().map(|(_, claim)| Settled {
            claim,
            verdict: Verdict::Dead(ErrorText::new("why")),
        });
        let settled: Vec<_> = settled.collect();
        succeeds("settling", listener.settle(&settled)).await;
        let page = succeeds("scanning", listener.scan(&Scan::dead(9))).await;
        assert_eq!(page.completions.len(), 2);
        assert_eq!(page.errors, [(execution("new"), ErrorText::new("why"))]);
    });
}

/// A role that was allowed to listen by the version before works with groups; a group begins with what that version left.
#[test]
fn a_listener_that_was_allowed_before_has_groups() {
    smol::block_on(async {
        let test = TestStore::start();
        let schema = format!("{}-before-groups", test.schema);
        let role = format!("{schema}-listener");
        let sql = lay_out(&test, &schema, WITHOUT_GROUPS).await;
        sql.run(&format!(
            "CREATE ROLE \"{role}\" LOGIN PASSWORD 'pass'; CALL \"{schema}\".allow_listener('\"{role}\"');
            SELECT \"{schema}\".start('old'); SELECT \"{schema}\".complete('old')"
        ))
        .await;
        let owner = store(&test.server().url(), &schema);
        succeeds("migrating", owner.migrate()).await;
        let address = test.server().address();
        let listener = store(
            &format!("postgres://{role}:pass@{address}/postgres"),
            &schema,
        );
        let name = GroupName::new("group").expect("an id");
        let group = Group::new(name).starting(GroupStart::Beginning);
        let ledger = succeeds("registering", listener.register(&group)).await;
        handle(&*ledger, &["old"]).await;
        // The group without a name has it still.
        handle(&listener, &["old"]).await;
    });
}
