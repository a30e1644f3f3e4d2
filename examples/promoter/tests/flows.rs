//! Flows end as they must, over every store, with a stream that carries all, half or nothing.

mod stores;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{Either, select};
use midplane::completions::{
    BackendError, BackendErrorKind, Change, Execution, ExecutionId, ListenerSettings, Outcome,
    ProduceError, Producer, Scan,
};
use midplane::threads::Timer;
use midplane::{Backoff, Random, Timer as _};
use promoter::{Carries, Done, Plan, Progress, Run, Store};
use proptest::prelude::*;

use stores::StoreKind;

/// Bounds every flow, and is met only by a failure.
const PATIENCE: Duration = Duration::from_secs(60);

fn run(kind: StoreKind, plan: Plan, carries: Carries) -> Done {
    let (store, _server) = kind.start();
    run_on(store, plan, carries)
}

fn run_on(mut store: Store, plan: Plan, carries: Carries) -> Done {
    store.backend = carries.of(store.backend);
    let mut settings = ListenerSettings::default();
    settings.interval = Duration::from_millis(20);
    settings.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
    let timer = Timer::new();
    let run = Run::new("flow", plan, store, Arc::new(timer.clone())).with_settings(settings);
    match block_on(select(pin!(run.finish()), timer.sleep(PATIENCE))) {
        Either::Left((done, _)) => done,
        Either::Right(_) => panic!("the flow did not end within {PATIENCE:?}"),
    }
}

/// A flow of this size ends right, and the stream brought the share that it carries.
fn ends_right(kind: StoreKind, executions: u64) {
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
    ends_right(StoreKind::Memory, 10_000);
}

/// The example `flows` runs 10,000 executions, which takes longer.
#[test]
fn promise_9_a_flow_ends_right_over_redis() {
    ends_right(StoreKind::Redis, 500);
}

#[test]
fn promise_9_a_flow_ends_right_over_postgres() {
    ends_right(StoreKind::Postgres, 500);
}

/// A run that is dropped ten times where it stands, as a process that is killed, and begins anew. `MIDPLANE_FLOW` is the
/// number of executions of a long run.
fn ends_right_after_restarts(kind: StoreKind, executions: usize) {
    let asked = std::env::var("MIDPLANE_FLOW").ok();
    let executions = asked.map_or(executions, |asked| asked.parse().unwrap());
    let (store, _server) = kind.start();
    let plan = Plan::random(executions, 7);
    let timer = Timer::new();
    let mut settings = ListenerSettings::default();
    settings.interval = Duration::from_millis(100);
    // What the dead run had claimed lies still for as long.
    settings.lease = Duration::from_millis(500);
    let mut restarts = 0;
    let done = loop {
        let (count, limit) = (AtomicUsize::new(0), (restarts + 1) * executions / 12);
        let (tell, killed) = oneshot::channel();
        let tell = Mutex::new(Some(tell));
        let run = Run::new("flow", plan.clone(), store.clone(), Arc::new(timer.clone()))
            .with_settings(settings)
            .with_observer(move |progress| {
                let finished = matches!(progress, Progress::Finished(..));
                if finished
                    && count.fetch_add(1, Ordering::Relaxed) + 1 == limit
                    && let Some(tell) = tell.lock().unwrap().take()
                {
                    // The last run waits for no such thing.
                    let _ = tell.send(());
                }
            });
        let ends = restarts == 10;
        let killed = async {
            match ends {
                true => std::future::pending().await,
                // A sender that is gone killed nobody.
                false => drop(killed.await),
            }
        };
        match block_on(select(pin!(run.finish()), pin!(killed))) {
            Either::Left((done, _)) => break done,
            Either::Right(_) => restarts += 1,
        }
    };
    assert!(done.is_right(), "{kind:?}");
    assert_eq!(restarts, 10, "{kind:?}");
    let scan = block_on(store.ledger.scan(&Scan::new(10))).unwrap();
    assert!(scan.completions.is_empty(), "all is handled: {scan:?}");
}

#[test]
fn promise_9_a_flow_that_is_restarted_ends_right_in_memory() {
    ends_right_after_restarts(StoreKind::Memory, 10_000);
}

#[test]
fn promise_9_a_flow_that_is_restarted_ends_right_over_redis() {
    ends_right_after_restarts(StoreKind::Redis, 360);
}

#[test]
fn promise_9_a_flow_that_is_restarted_ends_right_over_postgres() {
    ends_right_after_restarts(StoreKind::Postgres, 360);
}

/// A producer that does not answer one call in three, whether it did what was asked or not.
#[derive(Debug)]
struct SilentAtTimes {
    producer: Arc<dyn Producer>,
    random: Mutex<Random>,
}

impl SilentAtTimes {
    fn answer(&self, change: Result<Change, ProduceError>) -> Result<Change, ProduceError> {
        match self.random.lock().unwrap().below(3) {
            0 => Err(BackendError::new(BackendErrorKind::Unreachable, "no answer came").into()),
            _ => change,
        }
    }
}

#[async_trait]
impl Producer for SilentAtTimes {
    async fn start(&self, execution: &Execution) -> Result<Change, ProduceError> {
        self.answer(self.producer.start(execution).await)
    }

    async fn finish(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<Change, ProduceError> {
        self.answer(self.producer.finish(execution, outcome, bytes).await)
    }
}

#[test]
fn promise_9_a_flow_ends_right_over_a_store_that_often_does_not_answer() {
    for seed in 0..5 {
        let (mut store, _) = StoreKind::Memory.start();
        store.producer = Arc::new(SilentAtTimes {
            producer: store.producer,
            random: Mutex::new(Random::new(seed)),
        });
        let done = run_on(store, Plan::random(100, seed), Carries::All);
        assert!(done.is_right(), "seed {seed}");
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
        let done = run(StoreKind::Memory, Plan::random(executions, seed), carries);
        prop_assert_eq!(done.outcomes, done.expected);
    }
}
