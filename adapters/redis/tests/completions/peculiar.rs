//! What is peculiar to Redis.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use midplane::completions::{
    BackendErrorKind, Change, Completion, CompletionBackend, CompletionStream, CursorError,
    ErrorText, Filter, Follower, Group, GroupName, GroupStart, Groups, Ledger, Outcome, Pace,
    ProduceError, Producer, Scan, Settled, StreamItem, SubscribeError, Take, Verdict,
};
use midplane_completions_suite::script::{self, begin, execution, expect, next_item, run};
use midplane_completions_suite::{Fixture, Transaction};
use midplane_redis::{Pruned, RedisStore};
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, succeeds, within};

use crate::test_store::{MultiExec, TestStore, prompt_backend, store};

const EXECUTORS: [Executor; 3] = [Executor::Smol, Executor::TokioMulti, Executor::Threads];

async fn subscribe(store: &RedisStore) -> CompletionStream {
    script::subscribe(&prompt_backend(store)).await
}

/// What never polls: every read was woken.
pub(crate) fn asleep(store: &RedisStore) -> Follower {
    let mut pace = Pace::default();
    pace.poll = Duration::from_secs(3_600);
    store.backend().with_pace(pace)
}

/// Why the stream behind this completion cannot be had.
async fn refusal(store: &RedisStore, behind: Completion) -> SubscribeError {
    let (cursor, everything) = (behind.cursor.expect("a cursor"), Filter::all());
    let backend = prompt_backend(store);
    let resumed = within("subscribing", backend.subscribe_from(&cursor, &everything)).await;
    resumed.expect_err("its history is gone")
}

async fn finish(store: &RedisStore, text: &str) -> Result<Change, ProduceError> {
    let id = execution(text);
    within("finishing", store.finish(&id, &Outcome::Success, None)).await
}

/// What the server answers, which is no error.
fn ask(server: &Server, command: &[&str]) -> String {
    let answer = server.redis_command(command);
    assert!(!answer.starts_with('-'), "{command:?}: {answer}");
    answer
}

async fn handle(store: &RedisStore, text: &str) {
    script::handle(store, &[text]).await;
}

async fn unhandled(store: &RedisStore) -> Vec<String> {
    let scan = Scan::new(1_000);
    let page = succeeds("scanning", store.scan(&scan)).await;
    let ids = page.completions.iter();
    ids.map(|completion| completion.execution.to_string())
        .collect()
}

#[test]
fn the_wake_up_comes_long_before_the_poll() {
    for executor in EXECUTORS {
        executor.run(async {
            let test = TestStore::start();
            let mut stream = script::subscribe(&asleep(&test.store)).await;
            for round in 0..20 {
                // It waits before the completion is there.
                assert!(stream.next().now_or_never().is_none());
                let job = format!("job {round}");
                run(&test.store, &job).await;
                expect(&mut stream, &job).await;
            }
        });
    }
}

#[test]
fn a_lost_connection_is_noticed_without_a_poll() {
    for executor in EXECUTORS {
        executor.run(async {
            let test = TestStore::start();
            let url = test.server.url_at(test.proxy.address());
            let mut stream = script::subscribe(&asleep(&store(&url, &test.prefix))).await;
            // From the second on it waits for a wake-up that nobody sends: it has read, and nothing is under way.
            for _ in 0..3 {
                assert!(stream.next().now_or_never().is_none());
                test.proxy.reset();
                assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
            }
        });
    }
}

/// By what the server itself lists.
#[test]
fn a_stream_that_is_dropped_idle_leaves_no_connection() {
    for executor in EXECUTORS {
        executor.run(async {
            let server = Server::redis_with(&[]);
            let store = store(&server.url(), "jobs");
            succeeds("installing", store.install()).await;
            assert_eq!(server.redis_connections(), 1, "that of the producer");
            let mut waiting = subscribe(&store).await;
            let unpolled = subscribe(&store).await;
            assert_eq!(server.redis_connections(), 3, "one for each subscription");
            assert!(waiting.next().now_or_never().is_none());
            drop((waiting, unpolled));
            let one = || server.redis_connections() == 1;
            eventually("the connections are closed", one).await;
            drop(store);
            eventually("the last one is closed", || server.redis_connections() == 0).await;
        });
    }
}

/// Two commands of a program that fail, each where another key is not what it should be.
#[test]
fn a_call_that_fails_has_changed_nothing() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test.store).await;
        begin(&test.store, "job").await;
        for name in ["history", "unhandled"] {
            let key = test.key(name);
            let answer = ask(&test.server, &["SET", &key, "in the way"]);
            assert_eq!(answer, "+OK\r\n");
            let error = finish(&test.store, "job").await.expect_err("a wrong type");
            assert!(matches!(error, ProduceError::Backend(_)), "{error:?}");
            ask(&test.server, &["DEL", &key]);
            assert!(unhandled(&test.store).await.is_empty(), "{name}");
        }
        // A refusal in a transaction, too, is no completion; the rest of the transaction is.
        run(&test.store, "done").await;
        expect(&mut stream, "done").await;
        let answer = transaction(&test, &["done", "job"]).await;
        assert!(answer.contains("ILLEGALTRANSITION"), "{answer}");
        expect(&mut stream, "job").await;
        assert_eq!(unhandled(&test.store).await, ["done", "job"]);
    });
}

/// What the server says to a transaction that fails the executions.
async fn transaction(test: &TestStore, ids: &[&str]) -> String {
    let mut multi = MultiExec::begin(&test.server.url(), &test.store).await;
    for text in ids {
        let queued = multi
            .finish(&execution(text), &Outcome::Failure, None)
            .await;
        queued.expect("it is queued");
    }
    multi.said().await
}

/// As after a failover to a replica that had not got everything.
#[test]
fn a_history_that_was_replaced_is_told_even_if_its_numbers_are_the_same() {
    for executor in EXECUTORS {
        executor.run(async {
            let test = TestStore::start();
            let names = ["store", "executions", "history", "unhandled", "due"];
            for text in ["a", "b", "c"] {
                run(&test.store, text).await;
            }
            let copy = |from: &str, to: &str| {
                for name in names {
                    let [from, to] = [from, to].map(|end| test.key(&format!("{name}{end}")));
                    let answer = ask(&test.server, &["COPY", &from, &to, "REPLACE"]);
                    assert_eq!(answer, ":1\r\n");
                }
            };
            copy("", "-kept");
            let mut stream = subscribe(&test.store).await;
            let mut last = None;
            for text in ["lost 1", "lost 2"] {
                run(&test.store, text).await;
                last = Some(expect(&mut stream, text).await);
            }
            copy("-kept", "");
            for text in ["other 1", "other 2", "other 3"] {
                run(&test.store, text).await;
            }
            assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
            run(&test.store, "after").await;
            expect(&mut stream, "after").await;
            let error = refusal(&test.store, last.expect("a completion")).await;
            assert!(
                matches!(error, SubscribeError::Cursor(CursorError::Expired)),
                "{error:?}"
            );
            assert_eq!(
                unhandled(&test.store).await,
                ["a", "b", "c", "other 1", "other 2", "other 3", "after"]
            );
        });
    }
}

#[test]
fn a_store_that_was_flushed_is_another_one_and_the_stream_goes_on() {
    Executor::TokioMulti.run(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test.store).await;
        run(&test.store, "before").await;
        let before = expect(&mut stream, "before").await;
        for name in [
            "store",
            "executions",
            "history",
            "unhandled",
            "leases",
            "due",
        ] {
            ask(&test.server, &["DEL", &test.key(name)]);
        }
        // The first call finds nothing there, lays it out, and starts anew.
        run(&test.store, "meanwhile").await;
        assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
        run(&test.store, "after").await;
        within("the next completion", async {
            loop {
                match stream.next().await.expect("the stream goes on") {
                    StreamItem::Completion(completion)
                        if completion.execution == execution("after") =>
                    {
                        return;
                    }
                    StreamItem::Completion(completion) => {
                        assert_eq!(completion.execution, execution("meanwhile"));
                    }
                    _ => {}
                }
            }
        })
        .await;
        let error = refusal(&test.store, before).await;
        assert!(
            matches!(error, SubscribeError::Cursor(CursorError::Foreign { .. })),
            "{error:?}"
        );
    });
}

/// Somebody trims the stream with the server's own command, or takes one entry out of it.
#[test]
fn what_others_trimmed_is_counted() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test.store).await;
        for round in 1..=10 {
            run(&test.store, &format!("job {round}")).await;
        }
        expect(&mut stream, "job 1").await;
        drop(stream);
        let mut stream = subscribe(&test.store).await;
        for round in 11..=20 {
            run(&test.store, &format!("job {round}")).await;
        }
        let history = test.key("history");
        ask(&test.server, &["XTRIM", &history, "MAXLEN", "6"]);
        ask(&test.server, &["XDEL", &history, "18-0", "19-0"]);
        assert_eq!(next_item(&mut stream).await, StreamItem::Lagged(4));
        for text in ["job 15", "job 16", "job 17"] {
            expect(&mut stream, text).await;
        }
        assert_eq!(next_item(&mut stream).await, StreamItem::Lagged(2));
        expect(&mut stream, "job 20").await;
    });
}

#[test]
fn retention_forgets_what_is_old_and_handled_and_nothing_else() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let small = test.store.clone().with_retention(10);
        begin(&small, "running").await;
        for round in 0..50 {
            let job = format!("job {round}");
            run(&small, &job).await;
            if round % 2 == 0 {
                handle(&small, &job).await;
            }
        }
        let count = |command: &str, name: &str| {
            let answer = ask(&test.server, &[command, &test.key(name)]);
            let number = answer.trim().trim_start_matches(':');
            number.parse::<usize>().expect("a number")
        };
        assert_eq!(count("XLEN", "history"), 10);
        assert_eq!(unhandled(&small).await.len(), 25);
        // The unhandled, the handled that the history holds, and the one that runs.
        assert_eq!(count("HLEN", "executions"), 25 + 5 + 1);
        assert_eq!(count("HLEN", "leases"), 0);
        // What is handled once it is out of the history goes at once.
        handle(&small, "job 1").await;
        assert_eq!(count("HLEN", "executions"), 25 + 5);
    });
}

/// However many there are, and no matter what was set before.
#[test]
fn retention_by_age_forgets_what_is_older_and_nothing_else() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let few = test.store.clone().with_retention(3);
        let jobs = |from: usize, to: usize| (from..to).map(|number| format!("job {number}"));
        script::run_all(&few, jobs(0, 5)).await;
        let length = || ask(&test.server, &["XLEN", &test.key("history")]);
        assert_eq!(length(), ":3\r\n");
        let hour = few.with_retention_age(Duration::from_secs(3_600));
        script::run_all(&hour, jobs(5, 25)).await;
        assert_eq!(length(), ":23\r\n", "all of it is young");
        script::handle(&hour, &jobs(0, 25).collect::<Vec<_>>()).await;
        let again = finish(&hour, "job 2").await.expect("it is known");
        assert_eq!(again, Change::AlreadySo);
        let error = finish(&hour, "job 1")
            .await
            .expect_err("it was one too many");
        assert!(matches!(error, ProduceError::Unknown(_)), "{error:?}");
        assert_eq!(
            succeeds("pruning", hour.prune(Duration::from_secs(3_600))).await,
            Pruned::default()
        );
        // Each completion takes two with it that are older, and not itself.
        let moment = hour.clone().with_retention_age(Duration::from_micros(1));
        for left in [22, 21, 20] {
            run(&moment, &format!("job {}", 100 + left)).await;
            assert_eq!(length(), format!(":{left}\r\n"));
        }
        let error = finish(&moment, "job 2").await.expect_err("it is old");
        assert!(matches!(error, ProduceError::Unknown(_)), "{error:?}");
        let pruned = succeeds("pruning", moment.prune(Duration::ZERO)).await;
        assert_eq!(pruned.records, 20);
        assert_eq!(
            unhandled(&moment).await.len(),
            3,
            "what is not handled stays"
        );
        // A number in place of the age.
        let few = moment.with_retention(2);
        script::run_all(&few, jobs(200, 205)).await;
        assert_eq!(length(), ":2\r\n");
    });
}

#[test]
fn a_connection_that_died_costs_a_producer_nothing() {
    for executor in EXECUTORS {
        executor.run(async {
            let test = TestStore::alone();
            begin(&test.store, "job").await;
            ask(&test.server, &["CLIENT", "KILL", "TYPE", "normal"]);
            script::complete(&test.store, "job").await;
            test.server.kill();
            let error = finish(&test.store, "job").await;
            let Err(ProduceError::Backend(error)) = error else {
                panic!("the server is at fault, not {error:?}");
            };
            assert_eq!(error.kind(), BackendErrorKind::Unreachable);
            test.server.restart();
            let finished = finish(&test.store, "job").await.expect("it had finished");
            assert_eq!(finished, Change::AlreadySo);
        });
    }
}

#[test]
fn a_mebibyte_is_taken_and_no_byte_more() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test.store).await;
        begin(&test.store, "job").await;
        let large = Bytes::from(vec![b'x'; (1 << 20) + 1]);
        let job = execution("job");
        let finished = test
            .store
            .finish(&job, &Outcome::Success, Some(large.clone()));
        let error = within("finishing", finished).await.expect_err("too many");
        assert!(matches!(error, ProduceError::Unfit(_)), "{error:?}");
        assert!(error.to_string().contains("1 MiB"), "{error}");
        let largest = large.slice(1..);
        let fits = Some(largest.clone());
        script::finish(&test.store, "job", &Outcome::Success, fits).await;
        let completion = expect(&mut stream, "job").await;
        assert_eq!(completion.bytes, Some(largest));
    });
}

/// A page ends where it is large enough, whatever its number of entries.
#[test]
fn large_completions_come_in_several_pages() {
    Executor::TokioMulti.run(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test.store).await;
        let large = Some(Bytes::from(vec![b'x'; 700_000]));
        for round in 0..10 {
            let job = format!("job {round}");
            begin(&test.store, &job).await;
            script::finish(&test.store, &job, &Outcome::Success, large.clone()).await;
        }
        for round in 0..10 {
            expect(&mut stream, &format!("job {round}")).await;
        }
        let scan = Scan::new(10);
        let page = succeeds("scanning", test.store.scan(&scan)).await;
        assert_eq!(page.completions.len(), 2, "about a mebibyte");
        assert!(page.next.is_some());
    });
}

/// The documentation says what a user must be allowed; that is enough.
#[test]
fn a_user_with_the_documented_permissions_can_do_everything() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let rules = "on >hunter2 resetkeys ~{jobs}:* resetchannels &{jobs}:* +hello +subscribe +publish +fcall \
            +fcall_ro +function|load +time +hmget +hget +hset +hdel +hincrby +xadd +xlen +xrange +xtrim \
            +xinfo|stream +zadd +zrem +zscore +zrange +zcard +hscan +info";
        let rules: Vec<_> = rules.split_whitespace().collect();
        let answer = ask(&server, &[&["ACL", "SETUSER", "jobs"], &rules[..]].concat());
        assert_eq!(answer, "+OK\r\n");
        let url = format!("redis://jobs:hunter2@{}", server.address());
        let store = store(&url, "jobs").with_retention(3);
        succeeds("installing", store.install()).await;
        let mut stream = subscribe(&store).await;
        for round in 0..5 {
            let job = format!("job {round}");
            run(&store, &job).await;
            expect(&mut stream, &job).await;
        }
        let lease = Duration::from_secs(60);
        let taken = succeeds("taking", store.take(&Take::new(3), lease)).await;
        let claims: Vec<_> = taken.work.into_iter().map(|(_, claim)| claim).collect();
        assert!(succeeds("renewing", store.renew(&claims, lease)).await.is_empty());
        let dead = Verdict::Dead(ErrorText::new("why"));
        let verdicts = [Verdict::Handled, dead, Verdict::Failed(lease)];
        let settled = claims.into_iter().zip(verdicts);
        let settled: Vec<_> = settled.map(|(claim, verdict)| Settled { claim, verdict }).collect();
        succeeds("settling", store.settle(&settled)).await;
        assert_eq!(unhandled(&store).await.len(), 3);
        let dead = execution("job 1");
        assert_eq!(succeeds("replaying", store.replay(&[dead])).await, 1);
        assert_eq!(unhandled(&store).await.len(), 4);
        // A group, which finds what was taken out of the history, too.
        let group = GroupName::new("group").expect("an id");
        let beginning = Group::new(group.clone()).starting(GroupStart::Beginning);
        let ledger = succeeds("registering", store.register(&beginning)).await;
        ask(&server, &["XDEL", "{jobs}:history", "4-0"]);
        script::handle(&*ledger, &["job 3", "job 4"]).await;
        let statuses = succeeds("asking", store.groups()).await;
        assert_eq!(statuses.len(), 2);
        run(&store, "of nobody").await;
        assert!(succeeds("removing", store.remove(Some(&group))).await);
        // An alien entry, behind which the numbers go on.
        ask(&server, &["XADD", "{jobs}:history", "*", "what", "ever"]);
        run(&store, "behind").await;
        // A channel that is taken away is said by the call, which changes nothing.
        ask(&server, &["ACL", "SETUSER", "jobs", "resetchannels"]);
        begin(&store, "mute").await;
        let error = finish(&store, "mute").await.expect_err("it may not publish");
        assert!(matches!(error, ProduceError::Backend(_)), "{error:?}");
        assert!(!unhandled(&store).await.contains(&"mute".to_owned()));
    });
}

/// A program that was built for another layout keeps its hands off.
#[test]
fn a_store_of_another_version_is_refused() {
    Executor::Smol.run(async {
        let test = TestStore::start();
        ask(&test.server, &["HSET", &test.key("store"), "version", "5"]);
        let error = finish(&test.store, "job").await;
        let Err(ProduceError::Backend(error)) = error else {
            panic!("the store is at fault, not {error:?}");
        };
        assert_eq!(error.kind(), BackendErrorKind::NotInstalled);
        let backend = prompt_backend(&test.store);
        let refused = within("subscribing", backend.subscribe_completions()).await;
        let Err(SubscribeError::Backend(error)) = refused else {
            panic!("the store is at fault, not {refused:?}");
        };
        assert_eq!(error.kind(), BackendErrorKind::NotInstalled);
    });
}

/// The fixture cuts the way of listeners, not of producers.
#[test]
fn a_subscription_says_where_it_could_not_connect() {
    Executor::Smol.run(async {
        let test = Arc::new(TestStore::start());
        test.cut();
        let refused = within("subscribing", test.backend().subscribe_completions()).await;
        let SubscribeError::Backend(error) = refused.expect_err("it is cut") else {
            panic!("the way is at fault");
        };
        let address = test.proxy.address().to_string();
        assert!(error.to_string().contains(&address), "{error}");
    });
}
