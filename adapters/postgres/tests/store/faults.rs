//! A listener at work while the server, or the way to it, fails: everything committed is handled, and nothing that
//! was rolled back. Every trial also rolls back, commits late with lower numbers, and sends the same payload twice in
//! one transaction.

use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use midplane_completions_suite::{Fixture, Oracle, Outcomes, trial};
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::Way;
use midplane_testkit::set_patience;

use crate::place::Place;

/// Three of ten are rolled back.
const EXECUTIONS: usize = 1_430;
const COMMITTED: usize = 1_001;

/// Runs a trial of a place with a fault, and requires that the stream did its part.
fn run<F: Future<Output = ()> + Send + 'static>(
    executor: Executor,
    start: fn() -> Place,
    fault: impl FnOnce(Arc<Place>, Arc<Oracle>) -> F + Send + 'static,
) -> Outcomes {
    let outcomes = executor.run(async move {
        let place = Arc::new(start());
        let fixture: Arc<dyn Fixture> = place.clone();
        trial(&fixture, EXECUTIONS, |oracle| fault(place, oracle)).await
    });
    assert!(outcomes.counters.streamed > 0, "{outcomes:?}");
    assert!(outcomes.committed >= COMMITTED, "{outcomes:?}");
    outcomes
}

/// Resolves when so many executions are committed. What must come within [`PATIENCE`](midplane_testkit::PATIENCE)
/// is the next few of them: a machine may be slow, and there are many.
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
    the_backends_of_listeners_are_terminated,
    the_server_is_stopped_for_three_seconds,
    #[ignore = "half a minute: cargo test -p midplane-postgres --test store thirty_seconds -- --ignored"]
    the_server_is_stopped_for_thirty_seconds,
    the_connection_is_cut_at_every_byte,
    the_connection_is_half_open,
    what_is_said_comes_byte_by_byte,
);

fn nothing_goes_wrong(executor: Executor) {
    let outcomes = run(executor, Place::start, async |_, _| {});
    assert_eq!(outcomes.repeated, 0, "{outcomes:?}");
}

/// SIGKILL, to the server and its children.
fn the_server_is_killed_and_restarted(executor: Executor) {
    run(executor, Place::alone, async |place, oracle| {
        for part in 1..=3 {
            reaches(&oracle, part * EXECUTIONS / 10).await;
            let place = Arc::clone(&place);
            ::smol::unblock(move || {
                place.server().kill();
                place.server().restart();
            })
            .await;
        }
    });
}

fn the_backends_of_listeners_are_terminated(executor: Executor) {
    run(executor, Place::start, async |place, oracle| {
        for part in 1..=6 {
            reaches(&oracle, part * EXECUTIONS / 10).await;
            place
                .sql(&format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE application_name = '{}'",
                    place.schema
                ))
                .await;
        }
    });
}

fn stopped(executor: Executor, length: Duration) {
    run(executor, Place::alone, async move |place, oracle| {
        reaches(&oracle, EXECUTIONS / 5).await;
        place.server().stop();
        Delay::new(length).await;
        place.server().thaw();
    });
}

fn the_server_is_stopped_for_three_seconds(executor: Executor) {
    stopped(executor, Duration::from_secs(3));
}

fn the_server_is_stopped_for_thirty_seconds(executor: Executor) {
    // Producers wait that long for their answers.
    set_patience(Duration::from_secs(60));
    stopped(executor, Duration::from_secs(30));
}

/// Each time a byte later, while much is going on.
fn the_connection_is_cut_at_every_byte(executor: Executor) {
    run(executor, Place::start, async |place, oracle| {
        for byte in 1..=120 {
            let before = oracle.committed();
            place.proxy.cut_after(Way::ToClient, Some(byte));
            reaches(&oracle, (before + 3).min(COMMITTED)).await;
        }
        place.proxy.cut_after(Way::ToClient, None);
    });
}

/// Nothing comes back, and nothing ends.
fn the_connection_is_half_open(executor: Executor) {
    run(executor, Place::start, async |place, oracle| {
        for part in 1..=2 {
            reaches(&oracle, part * EXECUTIONS / 5).await;
            place.proxy.hold(Way::ToClient);
            Delay::new(Duration::from_secs(3)).await;
            place.proxy.pass(Way::ToClient);
        }
    });
}

fn what_is_said_comes_byte_by_byte(executor: Executor) {
    run(executor, Place::start, async |place, oracle| {
        place.proxy.slice(Way::ToClient, true);
        reaches(&oracle, COMMITTED).await;
        place.proxy.slice(Way::ToClient, false);
    });
}
