//! The store while its server, or the way to it, fails: what every store survives, and what Redis alone does.

use futures::{FutureExt, StreamExt};
use midplane::completions::{Execution, ExecutionId, Outcome, Producer, StreamItem};
use midplane_completions_suite::Fixture;
use midplane_completions_suite::faults::{EXECUTIONS, FaultyStore, run};
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::server::Server;
use midplane_testkit::{succeeds, within};

use crate::test_store::TestStore;

midplane_completions_suite::completion_faults!(
    TestStore,
    every_connection_is_killed,
    the_connection_is_cut_at_every_byte,
    the_history_is_trimmed_while_the_backend_is_cut_off,
    the_functions_are_lost,
);

impl FaultyStore for TestStore {
    fn shared() -> Self {
        Self::start()
    }

    fn alone() -> Self {
        Self::alone()
    }

    fn server(&self) -> &Server {
        &self.server
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }
}

fn every_connection_is_killed(executor: Executor) {
    run(executor, TestStore::alone, async |store, oracle| {
        for part in 1..=6 {
            oracle.reaches(part * EXECUTIONS / 10).await;
            let kind = if part % 2 == 0 { "pubsub" } else { "normal" };
            let kill = ["CLIENT", "KILL", "TYPE", kind];
            let killed = store.server.redis_command(&kill);
            assert!(killed.starts_with(':'), "{killed}");
        }
    });
}

/// Cuts a byte later each time: through the wake-up, and through the read behind it. The stream alone brings
/// each completion, once and in order.
fn the_connection_is_cut_at_every_byte(executor: Executor) {
    executor.run(async {
        let test = TestStore::start();
        let mut stream = succeeds("subscribing", test.backend().subscribe_completions()).await;
        let mut resyncs = 0;
        for byte in 1..=250 {
            let ids: Vec<_> = (0..4)
                .map(|number| ExecutionId::new(format!("job {byte} {number}")).expect("an id"))
                .collect();
            // The stream waits for the wake-up.
            assert!(stream.next().now_or_never().is_none());
            test.proxy.cut_after(Way::ToClient, Some(byte));
            for id in &ids {
                let execution = Execution::new(id.clone());
                let started = test.store.start(&execution);
                succeeds("starting", started).await;
                let finished = test.store.finish(id, &Outcome::Success, None);
                succeeds("finishing", finished).await;
            }
            for id in &ids {
                loop {
                    let next = within("the next item", stream.next()).await;
                    match next.expect("the stream goes on") {
                        StreamItem::Completion(completion) => {
                            assert_eq!(completion.execution, *id, "after {byte} bytes");
                            break;
                        }
                        StreamItem::Resync => resyncs += 1,
                        StreamItem::Trouble(_) => {}
                        item => panic!("the next item should be {id}, not {item:?}"),
                    }
                }
            }
            test.proxy.cut_after(Way::ToClient, None);
        }
        assert!(resyncs >= 200, "{resyncs} of 250 cuts ended a connection");
    });
}

fn the_history_is_trimmed_while_the_backend_is_cut_off(executor: Executor) {
    let report = run(executor, TestStore::start, async |test, oracle| {
        for part in 1..=3 {
            oracle.reaches(part * EXECUTIONS / 10).await;
            test.cut();
            oracle.reaches(part * EXECUTIONS / 10 + 50).await;
            succeeds("trimming", test.store.trim(0)).await;
            test.heal();
        }
    });
    assert!(report.counters.lagged > 0, "{report:?}");
}

/// Drops the function library, as a server does that was restored from the keys alone.
fn the_functions_are_lost(executor: Executor) {
    run(executor, TestStore::alone, async |test, oracle| {
        for part in 1..=5 {
            oracle.reaches(part * EXECUTIONS / 10).await;
            let answer = test.server.redis_command(&["FUNCTION", "FLUSH"]);
            assert_eq!(answer, "+OK\r\n");
        }
    });
}
