//! What Postgres has that other stores do not.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use midplane_completions::{
    BackendErrorKind, Execution, Filter, Ledger, Namespace, Outcome, ProduceError, Producer, Scan,
    StreamItem,
};
use midplane_completions_suite::script::{begin, execution, expect_all, next_item, run};
use midplane_completions_suite::{Fixture, Transaction};
use midplane_postgres::PostgresStore;
use midplane_testkit::proxy::Way;
use midplane_testkit::{eventually, within};

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
        let migrated = within(
            "migrating",
            join_all(stores.iter().map(PostgresStore::migrate)),
        )
        .await;
        for result in migrated {
            result.expect("it migrates");
        }
        let count = format!(
            "SELECT string_agg(version::text, ' ' ORDER BY version) FROM \"{schema}\".migrations"
        );
        assert_eq!(sql(&url, &count).await.as_deref(), Some("1 2 3 4"));
        run(&stores[0], "kept").await;
        stores[1].migrate().await.expect("it migrates again");
        let scanned = stores[2].scan(&Scan::new(Duration::ZERO, 10)).await;
        assert_eq!(scanned.expect("a page").completions.len(), 1);
        // Another schema is another store.
        let scanned = test.store().scan(&Scan::new(Duration::ZERO, 10)).await;
        assert_eq!(scanned.expect("a page").completions.len(), 0);
    });
}

#[test]
fn an_older_version_is_not_installed() {
    smol::block_on(async {
        let test = TestStore::start();
        test.sql("DELETE FROM midplane.migrations WHERE version = 4")
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
            let id = execution(id);
            let finished = store.finish(&id, &Outcome::Success, Some(bytes.clone()));
            within("finishing", finished).await.expect("it finishes");
        }
        let mut pages = Vec::new();
        let mut scan = Scan::new(Duration::ZERO, 100);
        loop {
            let page = within("scanning", store.scan(&scan)).await.expect("a page");
            pages.push(page.completions.len());
            match page.next {
                Some(next) => scan = scan.after(Some(next)),
                None => break,
            }
        }
        assert_eq!(pages, [2, 2, 1]);
        for id in names {
            match next_item(&mut stream).await {
                StreamItem::Completion(completion) => {
                    assert_eq!(completion.execution.as_str(), id);
                    assert_eq!(completion.bytes.as_ref(), Some(&bytes));
                }
                item => panic!("{item:?}"),
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let refused = store.start(&Execution::new(execution("a\0b"))).await;
        assert!(
            matches!(refused, Err(ProduceError::Unfit(_))),
            "{refused:?}"
        );
        begin(&store, "large").await;
        let large = bytes::Bytes::from(vec![0; (16 << 20) + 1]);
        let refused = store
            .finish(&execution("large"), &Outcome::Success, Some(large))
            .await;
        assert!(
            matches!(refused, Err(ProduceError::Unfit(_))),
            "{refused:?}"
        );
        // A filter with a NUL lets nothing through, and is no error.
        let filter = Filter::all().with_namespace(Namespace::new("a\0b").expect("an id"));
        let backend = test.backend();
        let mut filtered = backend
            .subscribe_completions_filtered(&filter)
            .await
            .expect("one");
        let mut all = backend
            .subscribe_completions()
            .await
            .expect("a subscription");
        run(&store, "job").await;
        expect_all(&mut all, ["job".to_owned()], false).await;
        assert_eq!(filtered.next().now_or_never(), None);
        assert!(
            store
                .claim(&[execution("a\0b")], Duration::ZERO)
                .await
                .expect("none")
                .is_empty()
        );
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

#[test]
fn pruning_keeps_what_is_young_open_or_not_handled() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        for id in ["handled", "not handled"] {
            run(&store, id).await;
        }
        let claims = store
            .claim(&[execution("handled")], prompt().poll)
            .await
            .expect("a claim");
        store.handled(&claims).await.expect("it is handled");
        let pruned = store
            .prune(Duration::from_secs(3_600))
            .await
            .expect("it prunes");
        assert_eq!((pruned.records, pruned.executions), (0, 0), "all is young");
        begin(&store, "open").await;
        let mut begun = Box::new(OpenTransaction::new(test.open().await, &test.schema).await);
        finish_in(&mut begun, "open").await;
        run(&store, "behind").await;
        let pruned = store.prune(Duration::ZERO).await.expect("it prunes");
        assert_eq!((pruned.records, pruned.executions), (2, 1));
        begun.commit().await.expect("it commits");
        let left = "SELECT string_agg(execution, ',' ORDER BY number) FROM midplane.outbox";
        assert_eq!(test.sql(left).await.as_deref(), Some("open,behind"));
        let scanned = store
            .scan(&Scan::new(Duration::ZERO, 10))
            .await
            .expect("a page");
        let scanned: Vec<_> = scanned
            .completions
            .iter()
            .map(|done| done.execution.as_str())
            .collect();
        assert_eq!(scanned, ["not handled", "open", "behind"]);
        // Handled after its record went, it goes with the next pruning.
        let claims = store
            .claim(&[execution("not handled")], prompt().poll)
            .await
            .expect("a claim");
        store.handled(&claims).await.expect("it is handled");
        let pruned = store
            .prune(Duration::from_secs(3_600))
            .await
            .expect("it prunes");
        assert_eq!((pruned.records, pruned.executions), (0, 1));
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up_at_the_deadline() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test
            .listeners("stalled")
            .with_deadline(Duration::from_secs(2));
        test.proxy.hold(Way::ToClient);
        let error = store
            .start(&Execution::new(execution("stalled")))
            .await
            .unwrap_err();
        match error {
            ProduceError::Backend(error) => {
                assert_eq!(error.kind(), BackendErrorKind::Unreachable);
            }
            error => panic!("{error:?}"),
        }
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
