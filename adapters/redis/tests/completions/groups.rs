//! Groups, where Redis does something of its own: lists that are behind, what others do to the keys, what is left halfway.

use std::sync::Arc;
use std::time::Duration;

use midplane::completions::{
    BackendErrorKind, ErrorText, Group, GroupName, GroupStart, Groups, Ledger, Scan, Settled, Take,
    Verdict,
};
use midplane_completions_suite::script::{execution, handle, run, run_all};
use midplane_redis::RedisStore;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::{succeeds, within};

use crate::test_store::{TestStore, store};

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// More than is listed, or removed, at once.
const MANY: usize = 600;

pub(crate) fn name(text: &str) -> GroupName {
    GroupName::new(text).expect("an id")
}

async fn register(store: &RedisStore, group: Group) -> Arc<dyn Ledger> {
    succeeds("registering", store.register(&group)).await
}

pub(crate) async fn new_group(store: &RedisStore, text: &str) -> Arc<dyn Ledger> {
    register(store, Group::new(name(text))).await
}

/// What a group has not handled, or its dead letters.
pub(crate) async fn scanned(ledger: &dyn Ledger, scan: Scan) -> Vec<String> {
    let page = succeeds("scanning", ledger.scan(&scan)).await;
    assert!(page.next.is_none(), "all of it is one page");
    let ids = page.completions.iter();
    ids.map(|completion| completion.execution.to_string())
        .collect()
}

pub(crate) async fn unhandled(ledger: &dyn Ledger) -> Vec<String> {
    scanned(ledger, Scan::new(1_000)).await
}

/// Takes up to this many executions, and settles them like this.
async fn settle_all(ledger: &dyn Ledger, most: usize, verdict: Verdict) -> Vec<String> {
    let taken = succeeds("taking", ledger.take(&Take::new(most), LONG)).await;
    let settled = taken.work.into_iter().map(|(_, claim)| Settled {
        claim,
        verdict: verdict.clone(),
    });
    let settled: Vec<_> = settled.collect();
    succeeds("settling", ledger.settle(&settled)).await;
    let ids = settled.iter();
    ids.map(|settled| settled.claim.execution.to_string())
        .collect()
}

pub(crate) async fn handle_all(ledger: &dyn Ledger) -> Vec<String> {
    settle_all(ledger, 1_000, Verdict::Handled).await
}

fn jobs(from: usize, to: usize) -> Vec<String> {
    (from..to)
        .map(|number| format!("job {number:03}"))
        .collect()
}

/// The number that the server answers about a key.
fn count(test: &TestStore, command: &str, key: &str) -> usize {
    let answer = test.server.redis_command(&[command, &test.key(key)]);
    let number = answer.trim().trim_start_matches(':');
    number.parse().expect("a number")
}

/// By number and by age, with what a group has not looked at, has taken, and has as a dead letter.
#[test]
fn retention_keeps_what_a_group_that_is_behind_has_not_handled() {
    Executor::Smol.run(async {
        for by_age in [false, true] {
            let test = TestStore::start();
            let store = match by_age {
                true => test
                    .store
                    .clone()
                    .with_retention_age(Duration::from_micros(1)),
                false => test.store.clone().with_retention(2),
            };
            let away = new_group(&store, "away").await;
            let slow = new_group(&store, "slow").await;
            let all = jobs(0, 30);
            run_all(&store, &all[..10]).await;
            let dead = Verdict::Dead(ErrorText::new("why"));
            assert_eq!(settle_all(&*slow, 1, dead).await, all[..1]);
            let claims = succeeds("taking", slow.take(&Take::new(1), LONG)).await;
            assert_eq!(claims.work.len(), 1);
            run_all(&store, &all[10..]).await;
            assert_eq!(handle_all(&store).await, all);
            succeeds("trimming", store.trim(1)).await;
            assert_eq!(count(&test, "XLEN", "history"), 1);
            assert_eq!(scanned(&*slow, Scan::dead(9)).await, all[..1]);
            assert_eq!(handle_all(&*slow).await, all[2..]);
            assert_eq!(unhandled(&*away).await, all, "it has not looked");
            assert_eq!(handle_all(&*away).await, all);
            succeeds("trimming", store.trim(0)).await;
            assert_eq!(count(&test, "HLEN", "executions"), 2, "of the slow one");
        }
    });
}

/// Somebody trims the stream with the server's own command, takes entries out of it, adds some, or deletes it.
#[test]
fn what_others_took_out_of_the_history_is_found_by_every_group() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let (first, second) = (
            new_group(&test.store, "first").await,
            new_group(&test.store, "second").await,
        );
        let history = test.key("history");
        let alien = ["XADD", &history, "*", "what", "ever"];
        let all = jobs(0, 40);
        run_all(&test.store, &all[..20]).await;
        assert_eq!(settle_all(&*first, 3, Verdict::Handled).await, all[..3]);
        let handled = &all[..10];
        handle(&test.store, handled).await;
        test.server.redis_does(&["XTRIM", &history, "MAXLEN", "10"]);
        test.server.redis_does(&["XDEL", &history, "15-0", "20-0"]);
        run_all(&test.store, &all[20..25]).await;
        test.server.redis_does(&alien);
        run_all(&test.store, &all[25..30]).await;
        assert_eq!(unhandled(&*second).await, all[..30]);
        succeeds("trimming", test.store.trim(3)).await;
        test.server.redis_does(&alien);
        test.server.redis_does(&["DEL", &history]);
        assert_eq!(unhandled(&*second).await, all[..30]);
        run_all(&test.store, &all[30..]).await;
        assert_eq!(unhandled(&*first).await, all[3..]);
        for (ledger, left) in [(&first, &all[3..]), (&second, &all[..])] {
            assert_eq!(handle_all(&**ledger).await, left);
            assert!(unhandled(&**ledger).await.is_empty());
        }
        assert_eq!(unhandled(&test.store).await, all[10..]);
    });
}

/// The keys of one group are not what they should be: that group has the trouble, and nothing is lost.
#[test]
fn a_key_of_a_group_that_is_in_the_way_holds_no_producer_up() {
    Executor::Smol.run(async {
        for key in ["unhandled", "leases", "due", "flows", "dead"] {
            let test = TestStore::start();
            let store = test.store.clone().with_retention(2);
            let ledger = new_group(&store, "group").await;
            let other = new_group(&store, "other").await;
            let all = jobs(0, 10);
            run_all(&store, &all[..4]).await;
            assert_eq!(handle_all(&*ledger).await, all[..4]);
            let in_the_way = test.key(&format!("{key}:group"));
            test.server.redis_does(&["SET", &in_the_way, "in the way"]);
            run_all(&store, &all[4..]).await;
            assert_eq!(handle_all(&*other).await, all);
            assert_eq!(handle_all(&store).await, all);
            within("taking", ledger.take(&Take::new(9), LONG))
                .await
                .expect_err("it is in the way");
            test.server.redis_does(&["DEL", &in_the_way]);
            run(&store, "last").await;
            assert_eq!(count(&test, "XLEN", "history"), 2, "it is trimmed again");
            let mut left = all[4..].to_vec();
            left.push("last".to_owned());
            assert_eq!(handle_all(&*ledger).await, left, "{key}");
        }
    });
}

/// The program that removes a group is killed in the middle: the rest is removed by the next to register it, or by pruning.
#[test]
fn a_group_that_was_removed_halfway_begins_anew() {
    Executor::Smol.run(async {
        for by_pruning in [false, true] {
            let test = TestStore::start();
            let group = new_group(&test.store, "group").await;
            run_all(&test.store, jobs(0, MANY)).await;
            handle_many(&test.store).await;
            // All of it is listed.
            succeeds("trimming", test.store.trim(0)).await;
            assert_eq!(count(&test, "ZCARD", "unhandled:group"), MANY);
            let keys = [
                "store",
                "executions",
                "history",
                "unhandled",
                "leases",
                "due",
                "flows",
                "dead",
            ];
            let keys = keys.map(|key| test.key(key));
            let mut remove = vec!["FCALL", "midplane_remove_4", "8"];
            remove.extend(keys.iter().map(String::as_str));
            remove.push("group");
            assert_eq!(
                test.server.redis_command(&remove),
                ":0\r\n",
                "there is more"
            );
            let left = count(&test, "ZCARD", "unhandled:group");
            assert!(left > 0 && left < MANY, "{left}");
            assert_eq!(count(&test, "HLEN", "executions"), left);
            let error = within("taking", group.take(&Take::new(9), LONG)).await;
            let error = error.expect_err("it is removed");
            assert_eq!(error.kind(), BackendErrorKind::NotInstalled);
            let statuses = succeeds("asking", test.store.groups()).await;
            assert_eq!(statuses.len(), 1, "the one without a name");
            if by_pruning {
                succeeds("pruning", test.store.prune(LONG)).await;
                assert_eq!(count(&test, "HLEN", "executions"), 0);
            }
            let anew = new_group(&test.store, "group").await;
            assert!(unhandled(&*anew).await.is_empty());
            for key in ["unhandled", "leases", "due", "flows", "dead"] {
                let key = format!("{key}:group");
                assert_eq!(count(&test, "EXISTS", &key), 0, "{key}");
            }
            assert_eq!(count(&test, "HLEN", "executions"), 0);
            run(&test.store, "new").await;
            assert_eq!(handle_all(&*anew).await, ["new"]);
        }
    });
}

async fn handle_many(ledger: &dyn Ledger) {
    while !handle_all(ledger).await.is_empty() {}
}

/// Dead letters of one group that keeps them for ever, and of one that gives them up.
#[test]
fn pruning_gives_up_dead_letters_of_the_group_that_keeps_them_no_longer_and_of_no_other() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let brief = Group::new(name("brief")).with_keep(Duration::ZERO);
        let brief = register(&test.store, brief).await;
        let other = new_group(&test.store, "other").await;
        let all = jobs(0, MANY);
        run_all(&test.store, &all).await;
        handle_many(&test.store).await;
        let dead = Verdict::Dead(ErrorText::new("why"));
        assert_eq!(settle_all(&*brief, 5, dead.clone()).await, all[..5]);
        assert_eq!(settle_all(&*other, 5, dead).await, all[..5]);
        handle_many(&*other).await;
        let pruned = succeeds("pruning", test.store.prune(Duration::ZERO)).await;
        assert_eq!(pruned.records, MANY as u64);
        assert_eq!(pruned.given_up, MANY as u64, "all of one group");
        assert!(unhandled(&*brief).await.is_empty());
        assert!(scanned(&*brief, Scan::dead(9)).await.is_empty());
        assert_eq!(scanned(&*other, Scan::dead(9)).await, all[..5]);
        assert_eq!(count(&test, "HLEN", "executions"), 5);
        let ids: Vec<_> = all[..5].iter().map(execution).collect();
        assert_eq!(succeeds("replaying", brief.replay(&ids)).await, 0);
        assert_eq!(succeeds("replaying", other.replay(&ids)).await, 5);
        assert_eq!(handle_all(&*other).await, all[..5]);
        assert_eq!(count(&test, "HLEN", "executions"), 0);
    });
}

/// What nobody prunes does not grow without bound either, where the group said how long it keeps something.
#[test]
fn retention_gives_up_what_a_group_keeps_no_longer() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let store = test.store.clone().with_retention(3);
        let brief = Group::new(name("brief")).with_keep(Duration::from_micros(1));
        let brief = register(&store, brief).await;
        run_all(&store, jobs(0, 3)).await;
        let claims = succeeds("taking", brief.take(&Take::new(9), LONG)).await;
        assert_eq!(claims.work.len(), 3, "nothing was dropped yet");
        for job in jobs(3, 30) {
            run(&store, &job).await;
            handle(&store, &[job]).await;
        }
        assert_eq!(count(&test, "ZCARD", "unhandled:brief"), 0);
        assert_eq!(unhandled(&*brief).await.len(), 3, "what is in the history");
        assert_eq!(
            count(&test, "HLEN", "executions"),
            3 + 3,
            "and what no group handled"
        );
    });
}

/// By what the server counts: a producer sends one call, and so does a look, of whatever group.
#[test]
fn groups_cost_no_further_call() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let store = store(&server.url(), "jobs").with_retention(2);
        let mut ledgers = vec![Arc::new(store.clone()) as Arc<dyn Ledger>];
        for text in ["a", "b", "c"] {
            ledgers.push(new_group(&store, text).await);
        }
        let all = jobs(0, 10);
        server.redis_does(&["CONFIG", "RESETSTAT"]);
        run_all(&store, &all).await;
        assert_eq!(calls(&server), 2 * 10, "starts and finishes");
        for ledger in &ledgers {
            server.redis_does(&["CONFIG", "RESETSTAT"]);
            let taken = succeeds("taking", ledger.take(&Take::new(20), LONG)).await;
            assert_eq!(taken.work.len(), 10);
            assert_eq!(calls(&server), 1);
        }
    });
}

/// How often functions were called.
fn calls(server: &Server) -> usize {
    let info = server.redis_command(&["INFO", "commandstats"]);
    let mut lines = info.lines();
    let calls = lines.find_map(|line| line.strip_prefix("cmdstat_fcall:calls="));
    let calls = calls.and_then(|line| line.split(',').next()?.parse().ok());
    calls.expect("a number of calls")
}

/// The library is dropped, as by a server that was restored from the keys alone, and the store, which is another one then.
#[test]
fn a_group_outlives_its_functions_and_is_missed_where_the_store_is_gone() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let store = store(&server.url(), "jobs");
        let ledger = new_group(&store, "group").await;
        run(&store, "before").await;
        server.redis_does(&["FUNCTION", "FLUSH"]);
        assert_eq!(handle_all(&*ledger).await, ["before"]);
        server.redis_does(&["FLUSHALL"]);
        run(&store, "after").await;
        let error = within("taking", ledger.take(&Take::new(9), LONG)).await;
        let error = error.expect_err("the new store knows no group");
        assert_eq!(error.kind(), BackendErrorKind::NotInstalled);
        assert!(error.to_string().contains("group"), "{error}");
        let group = Group::new(name("group")).starting(GroupStart::Beginning);
        register(&store, group).await;
        assert_eq!(handle_all(&*ledger).await, ["after"], "the ledger goes on");
    });
}

/// What nobody handles there is not listed there.
#[test]
fn the_group_without_a_name_costs_nothing_once_it_is_removed() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let ledger = new_group(&test.store, "group").await;
        run(&test.store, "before").await;
        assert!(succeeds("removing", test.store.remove(None)).await);
        run(&test.store, "after").await;
        for key in ["unhandled", "leases", "due", "flows", "dead"] {
            assert_eq!(count(&test, "EXISTS", key), 0, "{key}");
        }
        assert_eq!(handle_all(&*ledger).await, ["before", "after"]);
        succeeds("trimming", test.store.trim(0)).await;
        assert_eq!(count(&test, "EXISTS", "executions"), 0);
    });
}
