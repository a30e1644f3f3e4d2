//! A listener at work while the server, or the way to it, fails: everything committed is handled, and nothing
//! that was rolled back. Every trial also rolls back, commits late, and sends the same payload twice in one
//! transaction.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use futures_timer::Delay;
use midplane::completions::{Execution, ExecutionId, Outcome, Producer, StreamItem};
use midplane_completions_suite::{Fixture, Oracle, Outcomes, trial};
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Way;
use midplane_testkit::{set_patience, within};

use crate::real::Real;

/// Three of ten are rolled back.
const EXECUTIONS: usize = 1_500;
const COMMITTED: usize = EXECUTIONS / 10 * 7;

/// Runs a trial with a fault, and requires that the stream did its part.
fn run<F: Future<Output = ()> + Send + 'static>(
    executor: Executor,
    start: fn() -> Real,
    fault: impl FnOnce(Arc<Real>, Arc<Oracle>) -> F + Send + 'static,
) -> Outcomes {
    let outcomes = executor.run(async move {
        let real = Arc::new(start());
        let fixture: Arc<dyn Fixture> = real.clone();
        trial(&fixture, EXECUTIONS, |oracle| fault(real, oracle)).await
    });
    assert!(outcomes.counters.streamed > 0, "{outcomes:?}");
    assert!(outcomes.committed >= COMMITTED, "{outcomes:?}");
    outcomes
}

/// Resolves when so many executions are committed. What must come in time is the next few of them: a machine
/// may be slow, and there are many.
async fn reaches(oracle: &Oracle, committed: usize) {
    while oracle.committed() < committed {
        oracle.reaches(committed.min(oracle.committed() + 10)).await;
    }
}

macro_rules! on_both {
    ($($(#[$attribute:meta])* $name:ident),+ $(,)?) => {
        mod smol {
            $($(#[$attribute])* #[test] fn $name() {
                super::$name(super::Executor::Smol);
            })+
        }
        mod tokio {
            $($(#[$attribute])* #[test] fn $name() {
                super::$name(super::Executor::TokioMulti);
            })+
        }
    };
}

on_both!(
    nothing_goes_wrong,
    the_server_is_killed_and_restarted,
    every_connection_is_killed,
    the_server_is_stopped_for_three_seconds,
    #[ignore = "half a minute: cargo test -p midplane-redis --test completions thirty_seconds -- --ignored"]
    the_server_is_stopped_for_thirty_seconds,
    the_connection_is_cut_at_every_byte,
    the_connection_is_half_open,
    what_is_said_comes_byte_by_byte,
    the_history_is_trimmed_while_the_listener_is_away,
    the_functions_are_lost,
);

fn nothing_goes_wrong(executor: Executor) {
    let outcomes = run(executor, Real::start, async |_, _| {});
    assert_eq!(outcomes.repeated, 0, "{outcomes:?}");
}

fn the_server_is_killed_and_restarted(executor: Executor) {
    run(executor, Real::alone, async |real, oracle| {
        for part in 1..=3 {
            reaches(&oracle, part * EXECUTIONS / 10).await;
            let real = Arc::clone(&real);
            ::smol::unblock(move || {
                real.server.kill();
                real.server.restart();
            })
            .await;
        }
    });
}

fn every_connection_is_killed(executor: Executor) {
    run(executor, Real::alone, async |real, oracle| {
        for part in 1..=6 {
            reaches(&oracle, part * EXECUTIONS / 10).await;
            let kind = if part % 2 == 0 { "pubsub" } else { "normal" };
            let killed = real.server.redis_command(&["CLIENT", "KILL", "TYPE", kind]);
            assert!(killed.starts_with(':'), "{killed}");
        }
    });
}

fn stopped(executor: Executor, length: Duration) {
    run(executor, Real::alone, async move |real, oracle| {
        reaches(&oracle, EXECUTIONS / 5).await;
        real.server.stop();
        Delay::new(length).await;
        real.server.thaw();
    });
}

fn the_server_is_stopped_for_three_seconds(executor: Executor) {
    stopped(executor, Duration::from_secs(3));
}

fn the_server_is_stopped_for_thirty_seconds(executor: Executor) {
    // Nobody is answered meanwhile, and that is no fault of the store.
    set_patience(Duration::from_secs(60));
    stopped(executor, Duration::from_secs(30));
}

/// Each time a byte later: through the wake-up, and through what is read then. The stream alone brings each
/// completion, once and in order.
fn the_connection_is_cut_at_every_byte(executor: Executor) {
    executor.run(async {
        let real = Real::start();
        let mut stream = within("subscribing", real.backend().subscribe_completions())
            .await
            .expect("a subscription");
        let mut resyncs = 0;
        for byte in 1..=250 {
            let ids: Vec<_> = (0..4)
                .map(|number| ExecutionId::new(format!("job {byte} {number}")).expect("an id"))
                .collect();
            // It waits for the wake-up.
            assert!(stream.next().now_or_never().is_none());
            real.proxy.cut_after(Way::ToClient, Some(byte));
            for id in &ids {
                let execution = Execution::new(id.clone());
                let started = real.store.start(&execution);
                within("starting", started).await.expect("it starts");
                let finished = real.store.finish(id, &Outcome::Success, None);
                within("finishing", finished).await.expect("it finishes");
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
                        item => panic!("the next item should be {id}, not {item:?}"),
                    }
                }
            }
            real.proxy.cut_after(Way::ToClient, None);
        }
        assert!(resyncs >= 200, "{resyncs} of 250 cuts were felt");
    });
}

/// Nothing comes back, and nothing ends.
fn the_connection_is_half_open(executor: Executor) {
    run(executor, Real::start, async |real, oracle| {
        for part in 1..=2 {
            reaches(&oracle, part * EXECUTIONS / 5).await;
            real.proxy.hold(Way::ToClient);
            Delay::new(Duration::from_secs(3)).await;
            real.proxy.pass(Way::ToClient);
        }
    });
}

fn what_is_said_comes_byte_by_byte(executor: Executor) {
    run(executor, Real::start, async |real, oracle| {
        real.proxy.slice(Way::ToClient, true);
        reaches(&oracle, COMMITTED).await;
        real.proxy.slice(Way::ToClient, false);
    });
}

fn the_history_is_trimmed_while_the_listener_is_away(executor: Executor) {
    let outcomes = run(executor, Real::start, async |real, oracle| {
        for part in 1..=3 {
            reaches(&oracle, part * EXECUTIONS / 10).await;
            real.cut();
            reaches(&oracle, part * EXECUTIONS / 10 + 50).await;
            let trimmed = within("trimming", real.store.trim(0)).await;
            trimmed.expect("it is trimmed");
            real.heal();
        }
    });
    assert!(outcomes.counters.lagged > 0, "{outcomes:?}");
}

/// As on a server that was set up anew from the keys alone.
fn the_functions_are_lost(executor: Executor) {
    run(executor, Real::alone, async |real, oracle| {
        for part in 1..=5 {
            reaches(&oracle, part * EXECUTIONS / 10).await;
            let answer = real.server.redis_command(&["FUNCTION", "FLUSH"]);
            assert_eq!(answer, "+OK\r\n");
        }
    });
}
