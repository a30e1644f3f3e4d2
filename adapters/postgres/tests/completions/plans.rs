//! What the procedures read of the tables is counted, and not timed: 2,000 wait, and 10 are taken at most.

use crate::sql::Sql;
use crate::test_store::TestStore;

const FILL: &str = "SELECT midplane.start(id), midplane.complete(id)
    FROM (SELECT 'job ' || number AS id FROM generate_series(1, 2000) AS number) AS jobs";

/// How many rows of a table a connection reads while it runs statements, which are undone.
async fn reads(test: &TestStore, open: &Sql, table: &str, statements: &str) -> u64 {
    let count = format!(
        "SELECT coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) FROM pg_stat_xact_user_tables
         WHERE relid = 'midplane.{table}'::regclass"
    );
    let count = test.in_schema(&count);
    let count = async |before: &str| {
        let text = open.run(&format!("{before}{count}")).await;
        text.expect("a count").parse::<u64>().expect("a number")
    };
    let before = count("BEGIN; ").await;
    let statements = test.in_schema(statements);
    let after = count(&format!("DO $$ BEGIN {statements} END $$; ")).await;
    open.run("ROLLBACK").await;
    after - before
}

#[test]
fn a_look_reads_what_it_takes_and_not_the_backlog() {
    smol::block_on(async {
        let test = TestStore::start();
        test.sql(FILL).await;
        let open = test.open().await;
        let look = "PERFORM midplane.take(NULL, NULL, 10, 32, 1000000);";
        let read = reads(&test, &open, "executions", look).await;
        assert!((10..500).contains(&read), "{read} rows were read");
    });
}

/// A group lists no more than 1,000 in a look, and takes from its own rows.
#[test]
fn a_look_of_a_group_reads_what_it_lists_and_takes() {
    smol::block_on(async {
        let test = TestStore::start();
        test.sql("SELECT midplane.register('group', false, NULL)")
            .await;
        test.sql(&FILL.replace("2000", "10000")).await;
        let open = test.open().await;
        let look = "PERFORM midplane.take('group', NULL, NULL, 10, 32, 1000000);";
        let read = reads(&test, &open, "executions", look).await;
        assert!((1_000..1_500).contains(&read), "{read} rows were read");
        let looks = format!("DO $$ BEGIN FOR look IN 1..12 LOOP {look} END LOOP; END $$");
        open.run(&test.in_schema(&looks)).await;
        let read = reads(&test, &open, "executions", look).await;
        assert!(
            read < 100,
            "{read} rows were read, and nothing was to be listed"
        );
        let read = reads(&test, &open, "work", look).await;
        assert!((10..500).contains(&read), "{read} rows were read");
        // A page from the middle of what is listed, or not.
        let page = "PERFORM midplane.scan('group', 700, false, 10);";
        let read = reads(&test, &open, "work", page).await;
        assert!((10..100).contains(&read), "{read} rows were read");
        test.sql("UPDATE midplane.groups SET position = 1").await;
        test.sql("TRUNCATE midplane.work").await;
        let read = reads(&test, &open, "executions", page).await;
        assert!((10..100).contains(&read), "{read} rows were read");
    });
}

/// A table that the server knows to be empty is best read from its beginning to its end, and a connection may keep the plan that
/// does so.
#[test]
fn what_was_planned_while_the_tables_were_empty_reads_them_no_more_once_they_are_full() {
    const CALLS: [(&str, &str); 12] = [
        (
            "executions",
            "PERFORM midplane.take(NULL, NULL, 10, 32, 1000000);",
        ),
        (
            "executions",
            "PERFORM midplane.take('space', NULL, 10, 32, 1000000);",
        ),
        (
            "executions",
            "PERFORM midplane.renew(ARRAY['job 1'], ARRAY[1], 1000);",
        ),
        ("outbox", "PERFORM midplane.head();"),
        (
            "executions",
            "PERFORM midplane.start('started');
             PERFORM midplane.start('started');",
        ),
        (
            "executions",
            "PERFORM midplane.start('begun');
             PERFORM midplane.complete('begun');
             SET CONSTRAINTS ALL IMMEDIATE;",
        ),
        (
            "executions",
            "BEGIN PERFORM midplane.handled('job 1', 1); EXCEPTION WHEN SQLSTATE 'MP005' THEN END;",
        ),
        (
            "work",
            "PERFORM midplane.take('group', NULL, NULL, 10, 32, 1000000);",
        ),
        (
            "work",
            "PERFORM midplane.renew('group', ARRAY['job 1'], ARRAY[1], 1000);",
        ),
        (
            "work",
            "PERFORM midplane.settle('group', ARRAY['job 1'], ARRAY[1], ARRAY['handled'], ARRAY[0], ARRAY['']);",
        ),
        (
            "work",
            "BEGIN PERFORM midplane.handled('group', 'job 1', 1);
             EXCEPTION WHEN SQLSTATE 'MP005' THEN END;",
        ),
        ("work", "PERFORM midplane.replay('group', ARRAY['job 1']);"),
    ];
    smol::block_on(async {
        // On a server of its own, where nothing keeps what is vacuumed.
        let test = TestStore::alone();
        for statement in [
            "SELECT midplane.start('old'), midplane.complete('old')",
            "UPDATE midplane.executions SET handled_at = now()",
            "SELECT midplane.prune(0)",
            "SELECT midplane.register('group', false, NULL)",
            "VACUUM ANALYZE midplane.executions, midplane.outbox, midplane.work, midplane.groups",
        ] {
            test.sql(statement).await;
        }
        let open = test.open().await;
        for _ in 0..10 {
            for (table, statements) in CALLS {
                reads(&test, &open, table, statements).await;
            }
        }
        // What is a few pages is read whole, and rightly so: 2,000 rows of a group are.
        test.sql(&FILL.replace("2000", "10000")).await;
        for _ in 0..12 {
            test.sql("SELECT midplane.take('group', 'nobody', NULL, 1, 1, 1)")
                .await;
        }
        for (table, statements) in CALLS {
            let read = reads(&test, &open, table, statements).await;
            assert!(read < 500, "{read} rows were read by {statements}");
        }
    });
}
