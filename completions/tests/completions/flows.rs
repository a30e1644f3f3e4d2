//! The pace of several listeners, and the order of a flow over all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use midplane::completions::{
    BackendError, Claim, Execution, ExecutionId, Filter, Ledger, Listener, ListenerSettings,
    MemoryStore, Namespace, Outcome, Producer, Scan, Scanned, Settled, Take, Taken,
};
use midplane::{Instant, Timer};

use crate::kit::{
    Behaviour, RecordingHandler, SECOND, assert_handled, execution, finish_all, ids, listen,
    produce, start, store, stream_alone,
};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::local::LocalTasks;

/// Asserts that each flow had one handler at a time, and its executions in order.
fn assert_in_order(handlers: &[&RecordingHandler]) {
    let mut steps: Vec<(Instant, bool, String)> = Vec::new();
    for handler in handlers {
        steps.extend(handler.log.lock().unwrap().steps.iter().cloned());
    }
    // What ends comes before what begins at the same moment.
    steps.sort_by_key(|(at, begin, _)| (*at, *begin));
    let mut flows: HashMap<String, (usize, Option<String>)> = HashMap::new();
    for (at, begin, id) in steps {
        let Some((flow, number)) = id.split_once(':') else {
            continue;
        };
        let (next, running) = flows.entry(flow.to_owned()).or_default();
        let number: usize = number.parse().unwrap();
        if begin {
            assert_eq!(*running, None, "{id} began at {at:?}");
            assert!(number <= *next, "{id} began at {at:?}, {next} was next");
            *next = (*next).max(number + 1);
            *running = Some(id);
        } else {
            assert_eq!(running.take().as_ref(), Some(&id));
        }
    }
}

#[test]
fn promise_9_a_flow_has_one_handler_at_a_time_and_its_order_over_all_listeners() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handlers = [(); 3]
        .map(|()| RecordingHandler::new(&tasks, |_, _| Behaviour::Work(Duration::from_millis(30))));
    let mut settings = ListenerSettings::default();
    settings.queue = 2;
    let _handles = handlers
        .each_ref()
        .map(|handler| listen(&tasks, &store, handler, settings));
    tasks.pass(Duration::ZERO);
    let (producer, clock) = (store, tasks.clock());
    tasks.run(async move {
        for id in ids("flow:", 40) {
            finish_all(&producer, [id]).await;
            clock.sleep(Duration::from_millis(10)).await;
        }
    });
    tasks.pass(SECOND * 100);
    assert_in_order(&handlers.each_ref().map(|handler| &**handler));
    let handled: usize = handlers.iter().map(|handler| handler.handled().len()).sum();
    assert_eq!(handled, 40);
}

#[test]
fn promise_9_what_waits_and_runs_keeps_its_lease() {
    for id in ["flow:", ""] {
        let mut tasks = LocalTasks::new();
        let store = store(&tasks);
        let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(SECOND * 8));
        let mut settings = ListenerSettings::default();
        settings.lease = SECOND * 6;
        settings.concurrency = 1;
        let handle = listen(&tasks, &store, &handler, settings);
        tasks.pass(Duration::ZERO);
        produce(&mut tasks, &store, ids(id, 30));
        tasks.pass(SECOND * 8 * 30 + SECOND);
        assert_handled(&handler, ids(id, 30), 1);
        let order: Vec<_> = ids(id, 30).collect();
        assert_eq!(handler.order(), order);
        assert_eq!(handle.counters().late, 0);
    }
}

#[test]
fn promise_9_a_backlog_is_drained_without_a_pause() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    produce(&mut tasks, &store, ids("", 20_000));
    let handler = RecordingHandler::quick(&tasks);
    let _handle = listen(&tasks, &store, &handler, ListenerSettings::default());
    tasks.pass(SECOND);
    assert_handled(&handler, ids("", 20_000), 1);
}

/// A ledger that takes a second for each call.
#[derive(Debug)]
struct SlowLedger {
    store: MemoryStore,
    clock: VirtualClock,
}

#[async_trait]
impl Ledger for SlowLedger {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        self.clock.sleep(SECOND).await;
        self.store.take(take, lease).await
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        self.store.renew(claims, lease).await
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        self.clock.sleep(SECOND).await;
        self.store.settle(settled).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        self.store.scan(scan).await
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        self.store.replay(executions).await
    }
}

/// The calls get as large as with a quick store, where handlers are quick: there are fewer than 20, not 80.
#[test]
fn promise_9_a_slow_store_is_asked_for_no_less() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    produce(&mut tasks, &store, ids("", 2_500));
    let handler = RecordingHandler::quick(&tasks);
    let ledger = SlowLedger {
        store: store.clone(),
        clock: tasks.clock(),
    };
    let backend = Arc::new(store.backend());
    let listener = Listener::new(backend, Arc::new(ledger), handler.clone(), tasks.timer());
    let handle = start(&tasks, listener.with_settings(stream_alone()));
    tasks.pass(SECOND * 20);
    assert_handled(&handler, ids("", 2_500), 1);
    let counters = handle.counters();
    assert!(counters.fruitful < 20, "{counters:?}");
}

#[test]
fn promise_9_a_failure_is_tried_again_after_its_pause() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |_, calls| match calls {
        0 => Behaviour::Fail,
        _ => Behaviour::Work(Duration::ZERO),
    });
    let _handle = listen(&tasks, &store, &handler, ListenerSettings::default());
    tasks.pass(Duration::ZERO);
    produce(&mut tasks, &store, ids("", 20));
    tasks.pass(SECOND + Duration::from_millis(50));
    assert_handled(&handler, ids("", 20), 1);
}

async fn finish_in(store: &MemoryStore, namespace: &str, id: String) {
    let namespace = Namespace::new(namespace).unwrap();
    let started = Execution::new(execution(id)).with_namespace(namespace);
    store.start(&started).await.unwrap();
    let outcome = Outcome::Success;
    store.finish(&started.id, &outcome, None).await.unwrap();
}

/// The listener of everything, and that of the namespace alone.
#[test]
fn promise_9_no_namespace_waits_for_another() {
    for filter in [
        Filter::all(),
        Filter::all().with_namespace(Namespace::new("b").unwrap()),
    ] {
        let mut tasks = LocalTasks::new();
        let store = store(&tasks);
        let producer = store.clone();
        tasks.run(async move {
            for id in ids("a", 20_000) {
                finish_in(&producer, "a", id).await;
            }
            finish_in(&producer, "b", "b".into()).await;
        });
        let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(SECOND));
        let backend = Arc::new(store.backend());
        let ledger = Arc::new(store.clone());
        let listener = Listener::new(backend, ledger, handler.clone(), tasks.timer());
        let _handle = start(&tasks, listener.with_filter(filter));
        tasks.pass(SECOND * 2);
        assert_eq!(handler.handled().get("b"), Some(&1));
    }
}

#[test]
fn promise_9_four_listeners_do_not_claim_in_vain_and_are_faster_than_one() {
    let mut took = Vec::new();
    for count in [1, 4] {
        let mut tasks = LocalTasks::new();
        let store = store(&tasks);
        let handler =
            RecordingHandler::new(&tasks, |_, _| Behaviour::Work(Duration::from_millis(20)));
        let handles: Vec<_> = (0..count)
            .map(|_| listen(&tasks, &store, &handler, ListenerSettings::default()))
            .collect();
        tasks.pass(SECOND);
        let (producer, clock) = (store.clone(), tasks.clock());
        tasks.run(async move {
            for part in 0..1_000 {
                finish_all(&producer, ids(&format!("{part}-"), 4)).await;
                clock.sleep(Duration::from_millis(1)).await;
            }
        });
        while handler.handled().len() < 4_000 {
            tasks.pass(Duration::from_millis(100));
        }
        took.push(tasks.clock().now());
        let vain: u64 = handles.iter().map(|handle| handle.counters().vain).sum();
        let fruitful: u64 = handles
            .iter()
            .map(|handle| handle.counters().fruitful)
            .sum();
        assert!(vain * 9 < fruitful, "{vain} in vain, {fruitful} not");
    }
    assert!(took[1] < took[0], "{took:?}");
}
