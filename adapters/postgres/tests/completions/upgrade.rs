//! The schema of the first build, with what was in it, is brought up to date.

use midplane_completions::{CompletionBackend, Cursor, Filter, Ledger};
use midplane_completions_suite::script::{complete, expect, run, subscribe_from};
use midplane_testkit::succeeds;

use crate::sql::Sql;
use crate::test_store::{TestStore, prompt, store};

/// The migrations of the first build, which never change.
const FIRST: [&str; 4] = [
    include_str!("../../migrations/1_tables.sql"),
    include_str!("../../migrations/2_history.sql"),
    include_str!("../../migrations/3_producers.sql"),
    include_str!("../../migrations/4_ledger.sql"),
];

#[test]
fn what_the_first_build_left_is_kept_and_goes_on() {
    smol::block_on(async {
        let test = TestStore::start();
        let schema = format!("{}-first", test.schema);
        let sql = Sql::open(&test.server().url()).await;
        let place = |text: &str| text.replace("\"midplane\"", &format!("\"{schema}\""));
        sql.run(&place(
            "CREATE SCHEMA \"midplane\"; CREATE TABLE \"midplane\".migrations (
                version integer PRIMARY KEY,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            ); INSERT INTO \"midplane\".migrations SELECT generate_series(1, 4)",
        ))
        .await;
        for migration in FIRST {
            sql.run(&place(migration)).await;
        }
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
