//! Wake-ups of a stream after a commit, and reading without a gap.

use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use midplane_completions::CompletionBackend;
use midplane_completions_suite::Transaction;
use midplane_completions_suite::script::{begin, complete, expect_all, run, run_all};
use midplane_testkit::proxy::Way;
use midplane_testkit::{eventually, within};

use crate::sql::OpenTransaction;
use crate::test_store::{TestStore, prompt, store};
use crate::work::{asleep, finish_in, ids, subscribe};

#[test]
fn a_stream_is_woken_for_everything() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 60;
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store().with_connections(PRODUCERS);
        let mut stream = subscribe(&test, asleep()).await;
        let names: Vec<_> = (0..PRODUCERS)
            .map(|number| ids(&number.to_string(), EACH))
            .collect();
        let produced = join_all(names.iter().map(|names| run_all(&store, names)));
        let arrived = expect_all(&mut stream, names.concat(), false);
        futures::join!(produced, arrived);
    });
}

/// One that is committed while another notifies wakes nobody itself: the stream looks again for it.
#[test]
fn what_leaves_the_waking_to_another_is_seen() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        begin(&store, "quiet").await;
        let mut stream = subscribe(&test, asleep()).await;
        assert_eq!(stream.next().now_or_never(), None);
        // Somebody who is being committed, and notifies.
        let other = test.open().await;
        let key = "(x'6d696470'::bigint << 32) | 'midplane.outbox'::regclass::oid::bigint";
        let key = test.in_schema(key);
        other.run(&format!("SELECT pg_advisory_lock({key})")).await;
        let mut quiet = Box::new(OpenTransaction::new(test.open().await, &test.schema).await);
        finish_in(&mut quiet, "quiet").await;
        quiet.sql.run("SET CONSTRAINTS ALL IMMEDIATE").await;
        other
            .run(&test.in_schema("SELECT pg_notify(midplane.channel(), '')"))
            .await;
        // The stream is woken, and finds nothing yet.
        for _ in 0..20 {
            assert_eq!(stream.next().now_or_never(), None);
            futures_timer::Delay::new(Duration::from_millis(5)).await;
        }
        quiet.commit().await.expect("it commits");
        expect_all(&mut stream, ["quiet".to_owned()], false).await;
    });
}

/// Nobody relies on it for being arrived.
#[test]
fn a_transaction_that_is_rolled_back_keeps_nobody_asleep() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        begin(&store, "undone").await;
        let mut stream = subscribe(&test, asleep()).await;
        assert_eq!(stream.next().now_or_never(), None);
        let mut begun = Box::new(OpenTransaction::new(test.open().await, &test.schema).await);
        finish_in(&mut begun, "undone").await;
        run(&store, "kept").await;
        let arrived = expect_all(&mut stream, ["kept".to_owned()], false);
        futures::join!(arrived, begun.rollback());
    });
}

#[test]
fn a_stream_that_nobody_wakes_looks_for_itself() {
    smol::block_on(async {
        let test = TestStore::start();
        test.sql("ALTER TABLE midplane.outbox DISABLE TRIGGER wake")
            .await;
        let mut stream = subscribe(&test, prompt()).await;
        for id in ids("job", 3) {
            run(&test.store(), &id).await;
            expect_all(&mut stream, [id], false).await;
        }
    });
}

/// With the horizon of the snapshot, it would hold everything back.
#[test]
fn a_transaction_that_has_nothing_to_do_with_it_holds_nothing_back() {
    smol::block_on(async {
        let test = TestStore::start();
        let other = test.open().await;
        other.run("BEGIN; SELECT pg_current_xact_id()").await;
        let mut stream = subscribe(&test, asleep()).await;
        for id in ids("job", 3) {
            run(&test.store(), &id).await;
            expect_all(&mut stream, [id], false).await;
        }
        other.run("COMMIT").await;
    });
}

/// What a savepoint undoes, the lock and the number, is taken anew.
#[test]
fn a_savepoint_that_is_rolled_back_skips_nothing() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        for id in ["undone", "late", "later"] {
            begin(&store, id).await;
        }
        let mut stream = subscribe(&test, prompt()).await;
        let mut begun = Box::new(OpenTransaction::new(test.open().await, &test.schema).await);
        // Each number is drawn when its execution finishes.
        let at_once = "SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT here";
        begun.sql.run(at_once).await;
        finish_in(&mut begun, "undone").await;
        begun.sql.run("ROLLBACK TO here").await;
        for id in ["late", "later"] {
            finish_in(&mut begun, id).await;
        }
        run(&store, "early").await;
        let between = subscribe(&test, prompt()).await;
        let ready = stream.next().now_or_never();
        assert_eq!(ready, None, "the earlier number is open");
        begun.commit().await.expect("it commits");
        let all = ["late", "later", "early"].map(String::from);
        for mut stream in [stream, between] {
            expect_all(&mut stream, all.clone(), false).await;
        }
        complete(&store, "undone").await;
    });
}

#[test]
fn a_transaction_may_finish_thousands() {
    const COUNT: usize = 20_000;
    smol::block_on(async {
        let test = TestStore::start();
        let mut stream = subscribe(&test, asleep()).await;
        test.sql(&format!(
            "DO $$ BEGIN FOR number IN 0..{COUNT} - 1 LOOP
                    PERFORM midplane.start('job ' || number);
                    PERFORM midplane.skip('job ' || number);
                END LOOP; END $$"
        ))
        .await;
        expect_all(&mut stream, ids("job", COUNT), false).await;
    });
}

/// A notification has some forty bytes: it is cut behind each of them, and behind some of what follows.
#[test]
fn a_cut_behind_each_byte_of_a_notification_loses_nothing() {
    const EACH: usize = 20;
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let mut stream = subscribe(&test, asleep()).await;
        for byte in 1..=64 {
            // Nothing is on its way to an idle stream, so what comes next is the notification.
            assert_eq!(stream.next().now_or_never(), None);
            let before = format!("fence {byte}");
            run(&store, &before).await;
            expect_all(&mut stream, [before], true).await;
            let sleeps = || stream.next().now_or_never().is_none();
            eventually("the stream sleeps", sleeps).await;
            test.proxy.cut_after(Way::ToClient, Some(byte));
            let names = ids(&format!("byte {byte}"), EACH);
            let produced = run_all(&store, &names);
            let arrived = expect_all(&mut stream, names.clone(), true);
            futures::join!(produced, arrived);
        }
    });
}

#[test]
fn dropping_an_idle_stream_ends_its_backend() {
    smol::block_on(async {
        let test = TestStore::start();
        let backend = test.listeners("idle").backend();
        let stream = backend.subscribe_completions().await.expect("one");
        let watching = test.open().await;
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle'";
        assert_eq!(watching.run(count).await.as_deref(), Some("1"));
        drop(stream);
        within("the backend ends", async {
            while watching.run(count).await.as_deref() != Some("0") {}
        })
        .await;
    });
}

#[test]
fn a_database_that_defaults_to_another_isolation_is_read_all_the_same() {
    smol::block_on(async {
        let test = TestStore::start();
        let url = test.server().url();
        let isolation = "options=-c%20default_transaction_isolation%3Dserializable";
        let store = store(&format!("{url}?{isolation}"), &test.schema);
        let backend = store.backend().with_pace(prompt());
        let mut stream = backend.subscribe_completions().await.expect("one");
        run(&store, "job").await;
        expect_all(&mut stream, ["job".to_owned()], false).await;
    });
}
