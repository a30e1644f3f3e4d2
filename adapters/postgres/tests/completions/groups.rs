//! What groups are in Postgres.

use std::sync::Arc;
use std::time::Duration;

use midplane_completions::{
    BackendErrorKind, Claim, Execution, Group, GroupName, Groups, Ledger, ProduceError, Producer,
    Scan, Take,
};
use midplane_completions_suite::script::{begin, execution, handle, run, run_all};
use midplane_postgres::PostgresStore;
use midplane_testkit::succeeds;

use crate::interface::{allowed, everything};
use crate::test_store::{TestStore, store};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

fn group(name: &str) -> Group {
    Group::new(GroupName::new(name).expect("an id"))
}

async fn register(store: &PostgresStore, group: &Group) -> Arc<dyn Ledger> {
    succeeds("registering", store.register(group)).await
}

/// What a ledger has not handled.
async fn left(ledger: &dyn Ledger) -> Vec<String> {
    let page = succeeds("scanning", ledger.scan(&everything())).await;
    let left = page.completions.iter();
    left.map(|done| done.execution.to_string()).collect()
}

async fn take(ledger: &dyn Ledger) -> Vec<Claim> {
    let taken = succeeds("taking", ledger.take(&Take::new(100), LONG)).await;
    taken.work.into_iter().map(|(_, claim)| claim).collect()
}

fn ids(claims: &[Claim]) -> Vec<&str> {
    claims
        .iter()
        .map(|claim| claim.execution.as_str())
        .collect()
}

/// A snapshot is of before the group, and what it commits behind that is the group's.
#[test]
fn a_transaction_that_began_before_a_group_is_not_missed() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        begin(&store, "old snapshot").await;
        begin(&store, "drawn").await;
        let old = test.open().await;
        old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            .await;
        // One that has its number before the group is there.
        let drawn = test.open().await;
        let finish = "BEGIN; SELECT midplane.complete('drawn'); SET CONSTRAINTS ALL IMMEDIATE";
        drawn.run(&test.in_schema(finish)).await;
        let ledger = register(&store, &group("group")).await;
        run(&store, "behind").await;
        // What is behind an open number is listed once that is over, so that nothing is passed.
        assert!(take(&*ledger).await.is_empty());
        let finish = "SELECT midplane.complete('old snapshot'); COMMIT";
        old.run(&test.in_schema(finish)).await;
        drawn.run("COMMIT").await;
        let claims = take(&*ledger).await;
        assert_eq!(ids(&claims), ["drawn", "behind", "old snapshot"]);
    });
}

#[test]
fn a_handler_of_a_group_commits_its_effect_and_the_record_together() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let ledger = register(&store, &group("group")).await;
        run_all(&store, ["a", "b"]).await;
        let claims = take(&*ledger).await;
        assert_eq!(ids(&claims), ["a", "b"]);
        let open = test.open().await;
        let handled = async |group: &str, token: u64| {
            let call = format!("SELECT midplane.handled('{group}', 'a', {token})");
            let answer = open.ask(&test.in_schema(&call)).await;
            let error = answer.err()?;
            error.code().map(|code| code.code().to_owned())
        };
        let token = claims[0].token;
        open.run("BEGIN").await;
        assert_eq!(handled("group", token).await, None);
        open.run("ROLLBACK").await;
        assert_eq!(left(&*ledger).await, ["a", "b"]);
        for (group, token) in [("group", token + 9), ("another", token)] {
            let code = handled(group, token).await;
            assert_eq!(code.as_deref(), Some("MP005"), "{group}, {token}");
        }
        assert_eq!(handled("group", token).await, None);
        assert_eq!(left(&*ledger).await, ["b"]);
        let again = handled("group", token).await;
        assert_eq!(again.as_deref(), Some("MP005"));
        assert_eq!(left(&store).await, ["a", "b"], "this was of one group");
    });
}

#[test]
fn a_listener_may_register_and_only_the_owner_removes() {
    smol::block_on(async {
        let test = TestStore::start();
        let (listener, _) = allowed(&test, "allow_listener").await;
        let ledger = register(&listener, &group("group").with_keep(LONG)).await;
        register(&listener, &group("group")).await;
        run(&test.store(), "job").await;
        let statuses = succeeds("asking", listener.groups()).await;
        assert_eq!(statuses.len(), 2);
        handle(&*ledger, &["job"]).await;
        let (producer, _) = allowed(&test, "allow_producer").await;
        let (follower, _) = allowed(&test, "allow_follower").await;
        let denied = |error: midplane_completions::BackendError| {
            assert_eq!(error.kind(), BackendErrorKind::Denied, "{error}");
        };
        for store in [producer, follower] {
            denied(store.register(&group("other")).await.expect_err("refused"));
        }
        let name = group("group").name;
        for name in [None, Some(&name)] {
            denied(listener.remove(name).await.expect_err("refused"));
        }
        assert!(succeeds("removing", test.store().remove(Some(&name))).await);
        let started = listener.start(&Execution::new(execution("other"))).await;
        assert!(
            matches!(started, Err(ProduceError::Backend(_))),
            "it may not start: {started:?}"
        );
    });
}

#[test]
fn a_group_whose_name_has_a_nul_is_refused() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let odd = group("a\0b");
        let error = store.register(&odd).await.expect_err("a NUL");
        assert_eq!(error.kind(), BackendErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains("NUL"), "{error}");
        assert!(!succeeds("removing", store.remove(Some(&odd.name))).await);
    });
}

#[test]
fn what_is_given_up_is_counted() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let brief = group("listed").with_keep(Duration::ZERO);
        let listed = register(&store, &brief).await;
        register(&store, &group("behind").with_keep(Duration::ZERO)).await;
        register(&store, &group("patient").with_keep(LONG)).await;
        run_all(&store, ["a", "b", "c"]).await;
        handle(&*listed, &["a"]).await;
        let prune = async || succeeds("pruning", store.prune(LONG)).await;
        assert_eq!(prune().await.given_up, 2 + 3);
        let pruned = prune().await;
        assert_eq!(pruned.given_up, 0, "once");
        assert_eq!((pruned.records, pruned.executions), (0, 0));
        // A handler's transaction that is at one just now keeps that.
        run(&store, "d").await;
        let claims = take(&*listed).await;
        let open = test.open().await;
        let call = format!(
            "BEGIN; SELECT midplane.handled('listed', 'd', {})",
            claims[0].token
        );
        open.run(&test.in_schema(&call)).await;
        assert_eq!(prune().await.given_up, 1, "of the group that did not look");
        open.run("COMMIT").await;
        assert!(left(&*listed).await.is_empty());
    });
}

/// A transaction that was long in committing has an old time beside a young number.
#[test]
fn what_is_kept_behind_what_is_given_up_stays() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let ledger = register(&store, &group("group").with_keep(LONG)).await;
        run_all(&store, ["old", "young", "old behind"]).await;
        let age = "UPDATE midplane.executions SET finished_at = now() - interval '2 hours' WHERE id LIKE 'old%'";
        test.sql(age).await;
        assert_eq!(succeeds("pruning", store.prune(LONG)).await.given_up, 1);
        assert_eq!(left(&*ledger).await, ["young", "old behind"]);
        let claims = take(&*ledger).await;
        assert_eq!(ids(&claims), ["young", "old behind"]);
        // Listed, it is given up for itself.
        assert_eq!(succeeds("pruning", store.prune(LONG)).await.given_up, 1);
        assert_eq!(left(&*ledger).await, ["young"]);
    });
}

/// Nobody lists for a group that is being removed, and nothing of it is left.
#[test]
fn a_group_that_is_removed_while_it_looks_leaves_nothing() {
    smol::block_on(async {
        let test = TestStore::start();
        let owner = test.store();
        let looking = group("group");
        let others: Vec<_> = (0..3)
            .map(|_| store(&test.server().url(), &test.schema))
            .collect();
        for round in 0..10 {
            let mut ledgers = Vec::new();
            for other in &others {
                ledgers.push(register(other, &looking).await);
            }
            run_all(&owner, (0..5).map(|number| format!("{round}: {number}"))).await;
            let take = Take::new(2);
            let looks = ledgers.iter().map(|ledger| async {
                while let Ok(taken) = ledger.take(&take, LONG).await {
                    if taken.work.is_empty() {
                        break;
                    }
                }
            });
            let removing = owner.remove(Some(&looking.name));
            let (_, removed) =
                futures::future::join(futures::future::join_all(looks), removing).await;
            assert!(removed.expect("it is answered"), "it was there");
            let rows = test.sql("SELECT count(*) FROM midplane.work").await;
            assert_eq!(rows.as_deref(), Some("0"));
            let page = ledgers[0].scan(&Scan::new(1)).await;
            let error = page.expect_err("it is gone");
            assert_eq!(error.kind(), BackendErrorKind::NotInstalled, "{error}");
        }
    });
}
