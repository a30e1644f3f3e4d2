//! Flows end as they must, whatever the stream carries.

use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use midplane::MemoryStore;
use midplane::completion::Settings;
use midplane::threads::Timer;
use promoter::{Carries, Done, Plan, Run, Store};
use proptest::prelude::*;

fn run(plan: Plan, carries: Carries) -> Done {
    let timer = Arc::new(Timer::new());
    let mut store = Store::from(MemoryStore::new(timer.clone()));
    store.backend = carries.of(store.backend);
    let mut settings = Settings::default();
    settings.interval = Duration::from_millis(20);
    settings.stale = Duration::from_millis(10);
    block_on(
        Run::new("flow", plan, store, timer)
            .with_settings(settings)
            .finish(),
    )
}

#[test]
fn promise_9_ten_thousand_executions_end_right_whatever_the_stream_carries() {
    for carries in Carries::EVERY {
        let done = run(Plan::random(10_000, 1), carries);
        assert!(done.is_right(), "{carries:?}");
        let streamed = done.counters.streamed;
        match carries {
            Carries::All => assert_eq!(streamed, 10_000),
            Carries::Half => assert!((4_000..6_000).contains(&streamed), "{streamed}"),
            Carries::Nothing => assert_eq!(streamed, 0),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn promise_9_flows_of_any_shape_end_right(
        executions in 0..60_usize,
        seed: u64,
        carries in prop::sample::select(Carries::EVERY.to_vec()),
    ) {
        let done = run(Plan::random(executions, seed), carries);
        prop_assert_eq!(done.outcomes, done.expected);
    }
}
