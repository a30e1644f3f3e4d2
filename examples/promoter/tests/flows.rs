//! Flows end as they must, over whatever store, whatever the stream carries.

mod stores;

use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use midplane::completion::Settings;
use midplane::threads::Timer;
use promoter::{Carries, Done, Plan, Run};
use proptest::prelude::*;

use stores::Kind;

fn run(kind: Kind, plan: Plan, carries: Carries) -> Done {
    let (mut store, _server) = kind.start();
    store.backend = carries.of(store.backend);
    let mut settings = Settings::default();
    settings.interval = Duration::from_millis(20);
    settings.stale = Duration::from_millis(10);
    block_on(
        Run::new("flow", plan, store, Arc::new(Timer::new()))
            .with_settings(settings)
            .finish(),
    )
}

/// A flow of this size ends right, and the stream had the part in it that it was to have.
fn ends_right(kind: Kind, executions: u64) {
    for carries in Carries::EVERY {
        let plan = Plan::random(executions as usize, 1);
        let done = run(kind, plan, carries);
        assert!(done.is_right(), "{kind:?} {carries:?}");
        let streamed = done.counters.streamed;
        match carries {
            // A walk may find some of it first, and the end is not waited for.
            Carries::All => assert!(streamed > executions / 2, "{streamed}"),
            Carries::Half => {
                let half = executions * 2 / 5..executions * 3 / 5;
                assert!(half.contains(&streamed), "{streamed}");
            }
            Carries::Nothing => assert_eq!(streamed, 0),
        }
    }
}

#[test]
fn promise_9_a_flow_ends_right_in_memory() {
    ends_right(Kind::Memory, 10_000);
}

/// The same with 10,000 is what the example `flows` runs, and takes longer.
#[test]
fn promise_9_a_flow_ends_right_over_redis() {
    ends_right(Kind::Redis, 500);
}

#[test]
fn promise_9_a_flow_ends_right_over_postgres() {
    ends_right(Kind::Postgres, 500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn promise_9_flows_of_any_shape_end_right(
        executions in 0..60_usize,
        seed: u64,
        carries in prop::sample::select(Carries::EVERY.to_vec()),
    ) {
        let done = run(Kind::Memory, Plan::random(executions, seed), carries);
        prop_assert_eq!(done.outcomes, done.expected);
    }
}
