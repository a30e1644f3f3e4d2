//! Everything at once, at random: what is committed is handled, what is rolled back is not.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{ready, select};
use midplane::Random;
use midplane::completions::{
    Execution, FlowId, Listener, ListenerSettings, MemoryStore, Outcome, Producer, StreamItem,
};

use crate::kit::{Behaviour, PlainBackend, RecordingHandler, execution, start, store};
use midplane_testkit::local::LocalTasks;

/// A backend whose stream loses completions, one in so many.
fn lossy_backend(store: &MemoryStore, one_in: u64, seed: u64) -> Arc<PlainBackend> {
    PlainBackend::mapping(store, move |stream| {
        let mut random = Random::new(seed);
        stream.filter(move |item| {
            ready(!matches!(item, StreamItem::Completion(_)) || random.below(one_in) != 0)
        })
    })
}

/// One run: two nodes with a listener each, that are killed and started again; a store that is cut, away
/// and trimmed; handlers that fail, panic, hang and take their time; producers that roll back.
fn run(seed: u64) {
    const EXECUTIONS: usize = 200;

    let mut tasks = LocalTasks::new();
    let store = store(&tasks).with_retention(50);
    let mut random = Random::new(seed);
    let committed: Arc<Mutex<HashSet<String>>> = Arc::default();
    let judge = Arc::clone(&committed);
    let acts = Mutex::new(Random::new(seed ^ 1));
    let handler = RecordingHandler::new(&tasks, move |id, _| {
        assert!(judge.lock().unwrap().contains(id), "{id} was not committed");
        let mut random = acts.lock().unwrap();
        match random.below(20) {
            0 => Behaviour::Fail,
            1 => Behaviour::Panic,
            2 => Behaviour::Hang,
            3 => Behaviour::NoOp,
            _ => Behaviour::Work(Duration::from_millis(random.below(500))),
        }
    });
    let mut settings = ListenerSettings::default();
    settings.concurrency = 1 + random.below(8) as usize;
    settings.queue = 1 + random.below(20) as usize;
    settings.window = random.below(20) as usize;
    let mut nodes: Vec<Option<futures::channel::oneshot::Sender<()>>> = vec![None, None];
    let mut number = 0;
    while number < EXECUTIONS {
        match random.below(12) {
            0 => store.cut(),
            1 => store.block(),
            2 => store.unblock(),
            3 => store.trim(),
            4 => {
                // Killed where it stands, and perhaps started again.
                let node = &mut nodes[random.below(2) as usize];
                *node = None;
                if random.below(3) > 0 {
                    let backend = lossy_backend(&store, 1 + random.below(4), random.draw());
                    let ledger = Arc::new(store.clone());
                    let listener = Listener::new(backend, ledger, handler.clone(), tasks.timer());
                    let (_, running) = listener.with_settings(settings).start();
                    let (kill, killed) = futures::channel::oneshot::channel();
                    tasks.spawn(async move {
                        select(running, killed).await;
                    });
                    *node = Some(kill);
                }
            }
            5 => {
                let time = Duration::from_millis(random.below(60_000));
                tasks.pass(time);
            }
            _ => {
                let mut transaction = store.begin();
                let rolled_back = random.below(5) == 0;
                for _ in 0..=random.below(5) {
                    number += 1;
                    let id = format!("{seed} {number}");
                    let mut started = Execution::new(execution(&id));
                    if random.below(2) == 0 {
                        started =
                            started.with_flow(FlowId::new(format!("{}", number % 5)).unwrap());
                    }
                    let producer = store.clone();
                    let job = started.id.clone();
                    tasks.run(async move { producer.start(&started).await.unwrap() });
                    transaction.finish(&job, &Outcome::Success, None).unwrap();
                    if !rolled_back {
                        committed.lock().unwrap().insert(id);
                    }
                }
                if !rolled_back {
                    transaction.commit().unwrap();
                }
            }
        }
    }
    // The faults are over, and one node is left.
    store.unblock();
    nodes.clear();
    let backend = Arc::new(store.backend());
    let listener = Listener::new(backend, Arc::new(store), handler.clone(), tasks.timer());
    let handle = start(&tasks, listener.with_settings(settings));
    for _ in 0..100 {
        tasks.pass(Duration::from_secs(300));
        if handler.handled().len() == committed.lock().unwrap().len() {
            break;
        }
    }
    let handled = handler.handled();
    let committed = committed.lock().unwrap();
    let missing: Vec<_> = committed
        .iter()
        .filter(|id| !handled.contains_key(*id))
        .collect();
    assert!(
        missing.is_empty(),
        "seed {seed}: {missing:?} {:?}",
        handle.counters()
    );
    assert_eq!(handled.len(), committed.len(), "seed {seed}");
    // Once more is what a death between the work and the note costs, and one kind of that is common here.
    let twice = handled.values().filter(|times| **times > 1).count();
    assert!(
        twice * 4 < committed.len(),
        "seed {seed}: {twice} were handled twice"
    );
}

#[test]
fn promise_9_whatever_happens_what_is_committed_is_handled_and_what_is_rolled_back_is_not() {
    let seeds = std::env::var("MIDPLANE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in seeds.map_or(0..50, |seed| seed..seed + 1) {
        run(seed);
    }
}
