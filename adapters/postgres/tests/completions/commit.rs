//! Numbers are drawn when a transaction is being committed: one that stays open holds nothing back.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join, join_all};
use midplane_completions::{Entry, Filter, Journal, JournalReader};
use midplane_completions_suite::load::{LoadSize, subscriptions_start_exactly};
use midplane_completions_suite::script::{begin, expect, run};
use midplane_postgres::PostgresStore;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::succeeds;

use crate::test_store::TestStore;
use crate::work::{asleep, ids, subscribe};

#[test]
fn a_transaction_that_stays_open_holds_nothing_back() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        let mut stream = subscribe(&test, asleep()).await;
        let open = test.open().await;
        let finish = "BEGIN; SELECT midplane.start('open'); SELECT midplane.complete('open')";
        open.run(&test.in_schema(finish)).await;
        for id in ids("job", 20) {
            run(&store, &id).await;
            expect(&mut stream, &id).await;
        }
        let mut late = subscribe(&test, asleep()).await;
        run(&store, "more").await;
        expect(&mut late, "more").await;
        expect(&mut stream, "more").await;
        open.run("COMMIT").await;
        for stream in [&mut stream, &mut late] {
            expect(stream, "open").await;
        }
    });
}

/// What has clients go on, and what ends them.
const LOADED: &str = "CREATE TABLE midplane.over ()";
const OVER: &str = "DROP TABLE midplane.over";

/// Clients, this many, that finish executions as fast as the server lets them: it makes the calls itself.
async fn load(test: &TestStore, clients: usize) {
    let over = test.in_schema("midplane.over");
    let client = |client: usize| {
        let load = format!(
            "DO $$ BEGIN
                FOR round IN 1..1000000 LOOP
                    EXIT WHEN to_regclass('{over}') IS NULL;
                    PERFORM midplane.start('load {client} ' || round);
                    PERFORM midplane.complete('load {client} ' || round);
                    COMMIT;
                END LOOP;
            END $$"
        );
        async move {
            let sql = test.open().await;
            sql.run("SET synchronous_commit = off").await;
            sql.run(&test.in_schema(&load)).await;
        }
    };
    join_all((0..clients).map(client)).await;
}

#[test]
#[ignore = "a minute of all processors; docs/COMPLETIONS.md has the command"]
fn subscriptions_start_exactly_while_the_server_is_as_fast_as_it_can_be() {
    smol::block_on(async {
        let test = TestStore::start();
        let mut size = LoadSize::asked();
        size.producers = size.producers.max(8);
        size.back = 20;
        test.sql(LOADED).await;
        let stop = async || drop(test.sql(OVER).await);
        subscriptions_start_exactly(&test, size, load(&test, size.producers), stop).await;
    });
}

/// As a subscription does: it asks for the end, and reads on from there. Eight clients finish executions as fast as the
/// server lets them.
#[test]
fn the_end_of_the_history_is_exact_while_others_commit() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 60;
    // A backend may be stopped for some time in the middle of a commit, but not for all of these rounds.
    const BACK: usize = 20;
    smol::block_on(async {
        let test = TestStore::start();
        test.sql(LOADED).await;
        let heads = async {
            let store = test.store();
            let mut reader = succeeds("connecting", store.connect(&Filter::all())).await;
            let mut stretches = Vec::new();
            for round in 0..ROUNDS {
                let mut place = succeeds("asking", reader.head()).await;
                let marker = format!("marker {round}");
                run(&store, &marker).await;
                let mut stretch = Vec::new();
                while stretch.last() != Some(&marker) {
                    let page = succeeds("reading", reader.read(&place, 256)).await;
                    stretch.extend(page.entries.iter().map(name));
                    if let Some(at) = stretch.iter().position(|id| *id == marker) {
                        stretch.truncate(at + 1);
                    }
                    place = page.position;
                    let early = round
                        .checked_sub(BACK)
                        .map(|early| format!("marker {early}"));
                    assert!(
                        early.is_none_or(|early| !stretch.contains(&early)),
                        "the end of the history is its beginning"
                    );
                }
                stretches.push(stretch);
            }
            test.sql(OVER).await;
            stretches
        };
        let (_, stretches) = join(load(&test, CLIENTS), heads).await;
        let order = "SELECT string_agg(execution, ',' ORDER BY number) FROM midplane.outbox";
        let order = test.sql(order).await.expect("a history");
        let order: Vec<_> = order.split(',').collect();
        let places: HashMap<_, usize> = order.iter().copied().zip(0..).collect();
        for stretch in stretches {
            let first = places[&*stretch[0]];
            assert_eq!(
                stretch,
                order[first..][..stretch.len()],
                "a stretch of the history"
            );
        }
    });
}

fn name(entry: &Entry) -> String {
    match entry {
        Entry::Completion(completion) => completion.execution.to_string(),
        Entry::Poison(poison) => panic!("nothing is wrong with the history, and {poison:?} came"),
    }
}

/// Moves the clock on until the reader has something to look for.
async fn wait(reader: &mut Box<dyn JournalReader>, clock: &VirtualClock) {
    let mut waiting: Pin<Box<_>> = reader.wait();
    let mut cx = Context::from_waker(Waker::noop());
    while waiting.poll_unpin(&mut cx).is_pending() {
        clock.advance(clock.elapsed() + Duration::from_secs(1));
    }
}

/// One that asked for its constraints at once has drawn its number, and stays open for an hour of the reader's clock.
#[test]
fn a_number_that_is_held_for_an_hour_ends_nothing() {
    smol::block_on(async {
        const HOUR: Duration = Duration::from_secs(3_600);

        let test = TestStore::start();
        let clock = VirtualClock::default();
        let store = PostgresStore::new(&test.server().url(), Arc::new(clock.clone()))
            .and_then(|store| store.with_schema(&test.schema))
            .expect("a store");
        let mut reader = succeeds("connecting", store.connect(&Filter::all())).await;
        let mut place = succeeds("asking", reader.head()).await;
        begin(&test.store(), "held").await;
        let open = test.open().await;
        let finish = "BEGIN; SELECT midplane.complete('held'); SET CONSTRAINTS ALL IMMEDIATE";
        open.run(&test.in_schema(finish)).await;
        let mut reads = 0;
        while clock.elapsed() < HOUR {
            let page = succeeds("reading", reader.read(&place, 10)).await;
            assert!(page.entries.is_empty(), "{page:?}");
            place = page.position;
            wait(&mut reader, &clock).await;
            reads += 1;
        }
        assert!((3_600..10_000).contains(&reads), "{reads} reads in an hour");
        open.run("COMMIT").await;
        let page = succeeds("reading", reader.read(&place, 10)).await;
        assert_eq!(page.entries.len(), 1);
    });
}
