//! What Postgres has that other stores do not.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::{FutureExt, StreamExt};
use midplane_completions::{
    BackendErrorKind, Execution, Filter, Ledger, Namespace, Outcome, ProduceError, Producer, Scan,
    Take,
};
use midplane_completions_suite::script::{
    self, begin, execution, expect, expect_all, finish, run, subscribe_filtered,
};
use midplane_completions_suite::{Fixture, Transaction};
use midplane_postgres::PostgresStore;
use midplane_testkit::error::shown;
use midplane_testkit::proxy::Way;
use midplane_testkit::{eventually, succeeds, until, within};

use crate::sql::{OpenTransaction, sql};
use crate::test_store::{TestStore, prompt, store};
use crate::work::{finish_in, ids, subscribe};

#[test]
fn many_may_migrate_at_once_and_again() {
    smol::block_on(async {
        let test = TestStore::start();
        let url = test.server().url();
        let schema = format!("{}-many", test.schema);
        let stores: Vec<_> = (0..8).map(|_| store(&url, &schema)).collect();
        let migrating = stores.iter().map(PostgresStore::migrate);
        succeeds("migrating", try_join_all(migrating)).await;
        let count = format!(
            "SELECT string_agg(version::text, ' ' ORDER BY version) FROM \"{schema}\".migrations"
        );
        assert_eq!(
            sql(&url, &count).await.as_deref(),
            Some("1 2 3 4 5 6 7 8 9 10 11 12")
        );
        run(&stores[0], "kept").await;
        stores[1].migrate().await.expect("it migrates again");
        let scanned = stores[2].scan(&Scan::new(10)).await;
        assert_eq!(scanned.expect("a page").completions.len(), 1);
        // Another schema is another store.
        let scanned = test.store().scan(&Scan::new(10)).await;
        assert_eq!(scanned.expect("a page").completions.len(), 0);
    });
}

#[test]
fn a_call_that_is_given_up_does_not_go_on_waiting_on_the_server() {
    smol::block_on(async {
        let test = TestStore::start();
        let holder = test.open().await;
        let lock = "BEGIN; LOCK TABLE midplane.executions";
        holder.run(&test.in_schema(lock)).await;
        let name = format!("{}-waits", test.schema);
        let store = test
            .listeners(&name)
            .with_deadline(Duration::from_millis(300));
        let waiting =
            format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
        for _ in 0..3 {
            let started = store.start(&Execution::new(execution("held"))).await;
            assert!(
                matches!(started, Err(ProduceError::Backend(_))),
                "{started:?}"
            );
        }
        until("its backends end", async || {
            (test.sql(&waiting).await.as_deref() == Some("0")).then_some(())
        })
        .await;
        drop(holder);
    });
}

#[test]
fn a_server_that_repeats_the_password_does_not_make_us_show_it() {
    smol::block_on(async {
        let test = TestStore::start();
        let user = format!("{}-ada", test.schema);
        let repeating = format!(
            "CREATE ROLE \"{user}\" LOGIN SUPERUSER PASSWORD 'hunter2'; \
             CREATE FUNCTION midplane.repeat() RETURNS trigger LANGUAGE plpgsql \
             AS $$BEGIN RAISE EXCEPTION 'said hunter2'; END$$; \
             CREATE TRIGGER repeat BEFORE INSERT ON midplane.executions \
             FOR EACH ROW EXECUTE FUNCTION midplane.repeat()"
        );
        test.sql(&repeating).await;
        let address = test.server().address();
        let url = format!("postgres://{user}:hunter2@{address}/postgres");
        let store = store(&url, &test.schema);
        let error = store
            .start(&Execution::new(execution("said")))
            .await
            .unwrap_err();
        let shown = shown(&error);
        assert!(
            shown.contains("said ***") && !shown.contains("hunter2"),
            "{shown}"
        );
    });
}

#[test]
fn an_older_version_is_not_installed() {
    smol::block_on(async {
        let test = TestStore::start();
        let last = "(SELECT max(version) FROM midplane.migrations)";
        test.sql(&format!(
            "DELETE FROM midplane.migrations WHERE version = {last}"
        ))
        .await;
        let error = test.backend().subscribe_completions().await.unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("PostgresStore::migrate"), "{text}");
        assert!(text.contains("NotInstalled"), "{text}");
    });
}

#[test]
fn a_page_is_bounded_by_its_bytes_too() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let mut stream = subscribe(&test, prompt()).await;
        let bytes = bytes::Bytes::from(vec![b'x'; 3 << 20]);
        let names = ids("large", 5);
        for id in &names {
            begin(&store, id).await;
            finish(&store, id, &Outcome::Success, Some(bytes.clone())).await;
        }
        let mut pages = Vec::new();
        let mut scan = Scan::new(100);
        loop {
            let page = succeeds("scanning", store.scan(&scan)).await;
            pages.push(page.completions.len());
            match page.next {
                Some(next) => scan = scan.after(Some(next)),
                None => break,
            }
        }
        assert_eq!(pages, [2, 2, 1]);
        for id in names {
            let completion = expect(&mut stream, id).await;
            assert_eq!(completion.bytes.as_ref(), Some(&bytes));
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let refused = store.start(&Execution::new(execution("a\0b"))).await;
        let error = refused.expect_err("a NUL");
        assert!(matches!(error, ProduceError::Unfit(_)), "{error:?}");
        begin(&store, "large").await;
        let large = bytes::Bytes::from(vec![0; (16 << 20) + 1]);
        let id = execution("large");
        let refused = store.finish(&id, &Outcome::Success, Some(large)).await;
        let error = refused.expect_err("too many bytes");
        assert!(matches!(error, ProduceError::Unfit(_)), "{error:?}");
        // A filter with a NUL lets nothing through, and is no error.
        let filter = Filter::all().with_namespace(Namespace::new("a\0b").expect("an id"));
        let backend = test.backend();
        let mut filtered = subscribe_filtered(&*backend, &filter).await;
        let mut all = script::subscribe(&*backend).await;
        run(&store, "job").await;
        expect_all(&mut all, ["job".to_owned()], false).await;
        assert_eq!(filtered.next().now_or_never(), None);
        let take = Take::new(9).with_filter(filter);
        let taken = store.take(&take, prompt().poll).await.expect("none");
        assert!(taken.work.is_empty());
    });
}

#[test]
fn the_errors_of_the_procedures_have_codes() {
    smol::block_on(async {
        let test = TestStore::start();
        let sql = test.open().await;
        run(&test.store(), "done").await;
        for (statement, code, detail) in [
            ("SELECT midplane.complete('never')", "MP001", None),
            ("SELECT midplane.fail('done')", "MP002", Some("success")),
            (
                "SELECT midplane.complete('done', 'x')",
                "MP002",
                Some("success"),
            ),
            ("SELECT midplane.start('done')", "MP002", Some("success")),
            ("SELECT midplane.finish('done', 'odd')", "MP003", None),
            (
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT midplane.horizon()",
                "MP004",
                None,
            ),
        ] {
            let error = sql.ask(&test.in_schema(statement)).await.unwrap_err();
            let error = error.as_db_error().expect("the server's answer");
            assert_eq!(error.code().code(), code, "{statement}");
            assert_eq!(error.detail(), detail, "{statement}");
        }
    });
}

async fn handle(store: &PostgresStore, id: &str) {
    script::handle(store, &[id]).await;
}

/// How many records and executions are pruned.
async fn prune(store: &PostgresStore, age: Duration) -> (u64, u64) {
    let pruned = store.prune(age).await.expect("it prunes");
    (pruned.records, pruned.executions)
}

#[test]
fn pruning_keeps_what_is_young_open_or_not_handled() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        for id in ["handled", "not handled"] {
            run(&store, id).await;
        }
        handle(&store, "handled").await;
        assert_eq!(
            prune(&store, Duration::from_secs(3_600)).await,
            (0, 0),
            "all is young"
        );
        begin(&store, "open").await;
        let mut begun = Box::new(OpenTransaction::new(test.open().await, &test.schema).await);
        finish_in(&mut begun, "open").await;
        begun.sql.run("SET CONSTRAINTS ALL IMMEDIATE").await;
        run(&store, "behind").await;
        assert_eq!(prune(&store, Duration::ZERO).await, (2, 1));
        begun.commit().await.expect("it commits");
        let left = "SELECT string_agg(execution, ',' ORDER BY number) FROM midplane.outbox";
        assert_eq!(test.sql(left).await.as_deref(), Some("open,behind"));
        let scan = Scan::new(10);
        let scanned = store.scan(&scan).await.expect("a page").completions;
        let scanned: Vec<_> = scanned.iter().map(|done| done.execution.as_str()).collect();
        assert_eq!(scanned, ["not handled", "open", "behind"]);
        // Handled after its record went, it goes with the next pruning.
        handle(&store, "not handled").await;
        assert_eq!(prune(&store, Duration::from_secs(3_600)).await, (0, 1));
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up_at_the_deadline() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.listeners("stalled");
        let store = store.with_deadline(Duration::from_secs(2));
        test.proxy.hold(Way::ToClient);
        let started = store.start(&Execution::new(execution("stalled"))).await;
        let Err(ProduceError::Backend(error)) = started else {
            panic!("the server is at fault, not {started:?}");
        };
        assert_eq!(error.kind(), BackendErrorKind::Unreachable);
        test.proxy.pass(Way::ToClient);
        let thawed = Execution::new(execution("thawed"));
        within("the server is back", async {
            while store.start(&thawed).await.is_err() {}
        })
        .await;
    });
}

#[test]
fn connections_that_ended_are_replaced_without_an_error() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.listeners("replaced");
        run(&store, "before").await;
        test.proxy.reset();
        eventually("the connection is over", || test.proxy.connections() == 0).await;
        run(&store, "after").await;
    });
}

#[test]
fn nothing_secret_is_shown() {
    let timer = Arc::new(midplane::threads::Timer::new());
    let store = PostgresStore::new("postgres://ada:s3cret@a/shop", timer).expect("a url");
    let shown = format!("{store:?} {:?}", store.backend());
    assert!(!shown.contains("s3cret"), "{shown}");
}
