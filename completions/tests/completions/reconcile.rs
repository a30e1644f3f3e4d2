//! From the ledger to the handler.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::ready;
use futures::stream;
use midplane::completions::{
    BackendError, BackendErrorKind, Claim, CompletionBackend, CompletionStream, Execution,
    ExecutionId, Filter, Ledger, Listener, ListenerNotice, ListenerPart, ListenerSettings,
    MemoryStore, Outcome, Producer, Reconciled, Scan, Scanned, Settled, StreamItem, Tag, Take,
    Taken,
};

use crate::kit::{
    Behaviour, PlainBackend, RecordingHandler, SECOND, assert_handled, execution, finish,
    finish_all, ids, listen, listen_to, produce, start, store, stream_alone,
};
use midplane_testkit::local::LocalTasks;

/// A backend whose stream cannot be had, or never yields.
fn dead_backend(silent: bool) -> Arc<PlainBackend> {
    PlainBackend::new(move || {
        ready(match silent {
            true => Ok(CompletionStream::new(stream::pending())),
            false => Err(BackendError::new(BackendErrorKind::Unreachable, "it is dead").into()),
        })
    })
}

#[test]
fn promise_9_with_the_stream_dead_the_reconciler_alone_converges() {
    for silent in [false, true] {
        let mut tasks = LocalTasks::new();
        let store = store(&tasks);
        let handler = RecordingHandler::quick(&tasks);
        let settings = ListenerSettings::default();
        let backend = dead_backend(silent);
        let handle = listen_to(&tasks, backend, &store, &handler, settings);
        tasks.pass(Duration::ZERO);
        produce(&mut tasks, &store, ids("", 1_000));
        tasks.pass(settings.interval * 3);
        assert_handled(&handler, ids("", 1_000), 1);
        assert_eq!(handle.counters().streamed, 0);
        assert_eq!(handle.counters().unsubscribed > 0, !silent);
    }
}

#[test]
fn promise_9_what_finished_before_anybody_listened_is_found_at_once() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    produce(&mut tasks, &store, ids("", 600));
    let handler = RecordingHandler::quick(&tasks);
    let _handle = listen(&tasks, &store, &handler, ListenerSettings::default());
    tasks.pass(Duration::ZERO);
    assert_handled(&handler, ids("", 600), 1);
}

#[test]
fn promise_9_what_the_history_forgot_is_found_with_the_new_subscription() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::quick(&tasks);
    let settings = stream_alone();
    let handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(Duration::ZERO);
    store.block();
    produce(&mut tasks, &store, ids("", 100));
    store.trim();
    tasks.pass(SECOND * 30);
    assert!(handler.handled().is_empty());
    store.unblock();
    tasks.pass(SECOND * 10);
    assert_handled(&handler, ids("", 100), 1);
    let counters = handle.counters();
    assert_eq!((counters.subscribed, counters.lagged), (2, 100));
}

#[test]
fn promise_9_the_reconciler_walks_after_each_subscription() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::quick(&tasks);
    let settings = stream_alone();
    let backend = PlainBackend::mapping(&store, |stream| {
        stream.filter(|item| ready(!matches!(item, StreamItem::Completion(_))))
    });
    let _handle = listen_to(&tasks, backend, &store, &handler, settings);
    tasks.pass(SECOND);
    for round in 1..4 {
        let producer = store.clone();
        tasks.run(async move { finish(&producer, format!("{}", round - 1)).await });
        tasks.pass(SECOND * 100);
        assert_handled(&handler, ids("", round - 1), 1);
        store.cut();
        tasks.pass(SECOND);
        assert_handled(&handler, ids("", round), 1);
    }
}

/// A ledger that does not answer while it is away.
#[derive(Debug)]
struct FaultyLedger {
    store: MemoryStore,
    away: AtomicBool,
    calls: AtomicUsize,
    /// Finishes once the ledger was scanned for the first time: in the pause between the steps.
    between: Mutex<Option<&'static str>>,
}

impl FaultyLedger {
    fn new(store: &MemoryStore, between: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            away: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            between: Mutex::new(between),
        })
    }

    async fn answer(&self) -> Result<(), BackendError> {
        self.calls.fetch_add(1, SeqCst);
        match self.away.load(SeqCst) {
            true => std::future::pending().await,
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for FaultyLedger {
    async fn take(&self, take: &Take, lease: Duration) -> Result<Taken, BackendError> {
        self.answer().await?;
        let taken = self.store.take(take, lease).await?;
        let between = self.between.lock().unwrap().take();
        if let Some(id) = between {
            finish(&self.store, id).await;
        }
        Ok(taken)
    }

    async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, BackendError> {
        self.answer().await?;
        self.store.renew(claims, lease).await
    }

    async fn settle(&self, settled: &[Settled]) -> Result<(), BackendError> {
        self.answer().await?;
        self.store.settle(settled).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        self.answer().await?;
        self.store.scan(scan).await
    }

    async fn replay(&self, executions: &[ExecutionId]) -> Result<u64, BackendError> {
        self.answer().await?;
        self.store.replay(executions).await
    }
}

/// A completion that commits after the first look arrives, or is found by the look after the subscription.
#[test]
fn promise_9_nothing_is_lost_between_the_first_look_and_the_subscription() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::quick(&tasks);
    let settings = stream_alone();
    let (slow, clock) = (Arc::new(store.backend()), tasks.clock());
    let backend = PlainBackend::new(move || {
        let (slow, clock) = (Arc::clone(&slow), clock.clone());
        async move {
            clock.sleep(Duration::from_millis(1)).await;
            slow.subscribe_completions().await
        }
    });
    let ledger = FaultyLedger::new(&store, Some("between"));
    let listener = Listener::new(backend, ledger, handler.clone(), tasks.timer());
    let _handle = start(&tasks, listener.with_settings(settings));
    tasks.pass(SECOND);
    assert_handled(&handler, ["between".into()], 1);
}

#[test]
fn promise_9_a_report_counts_what_was_done_until_nothing_was_left() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, _| match id {
        "wanted 1" => Behaviour::NoOp,
        "wanted 2" => Behaviour::Fail,
        "wanted 3" => Behaviour::Panic,
        _ => Behaviour::Work(Duration::from_millis(1)),
    });
    let tag = Tag::new("wanted").unwrap();
    let mut settings = stream_alone();
    settings.backoff = midplane::Backoff::new(SECOND * 1_000, SECOND * 1_000);
    let backend = dead_backend(true);
    let listener = Listener::new(backend, Arc::new(store.clone()), handler, tasks.timer());
    let filter = Filter::all().with_tag(tag.clone());
    let handle = start(&tasks, listener.with_filter(filter).with_settings(settings));
    tasks.pass(SECOND);
    let report = tasks.run(async move {
        for id in ids("wanted ", 10) {
            let started = Execution::new(execution(&id)).with_tag(tag.clone());
            store.start(&started).await.unwrap();
            let outcome = Outcome::Failure;
            store.finish(&started.id, &outcome, None).await.unwrap();
        }
        finish_all(&store, ids("unwanted ", 5)).await;
        let first = handle.reconcile().await;
        (first, handle.reconcile().await)
    });
    let mut expected = Reconciled::default();
    expected.taken = 10;
    expected.done = 7;
    expected.no_op = 1;
    expected.failed = 2;
    assert_eq!(report.0, Some(expected));
    // What failed waits.
    assert_eq!(report.1, Some(Reconciled::default()));
}

/// A head that fails again and again, and hangs besides, keeps nobody behind it waiting.
#[test]
fn promise_9_a_stuck_head_starves_nobody() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, _| match id {
        _ if id.starts_with("fails") => Behaviour::Fail,
        _ if id.starts_with("hangs") => Behaviour::Hang,
        _ => Behaviour::Work(Duration::ZERO),
    });
    for (prefix, count) in [("hangs", 10), ("fails", 100), ("works", 100)] {
        produce(&mut tasks, &store, ids(prefix, count));
    }
    let mut settings = ListenerSettings::default();
    settings.queue = 10;
    let backend = dead_backend(true);
    let _handle = listen_to(&tasks, backend, &store, &handler, settings);
    tasks.pass(settings.patience * 8);
    assert_handled(&handler, ids("works", 100), 1);
}

#[test]
fn promise_9_leases_of_a_listener_that_died_come_back() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let hung = RecordingHandler::new(&tasks, |_, _| Behaviour::Hang);
    let (backend, ledger) = (Arc::new(store.backend()), Arc::new(store.clone()));
    let listener = Listener::new(backend, ledger, hung.clone(), tasks.timer());
    let (_handle, run) = listener.start();
    let (kill, killed) = futures::channel::oneshot::channel::<()>();
    tasks.spawn(async move {
        futures::future::select(run, killed).await;
    });
    tasks.pass(Duration::ZERO);
    produce(&mut tasks, &store, ids("", 20));
    tasks.pass(SECOND);
    assert_eq!(hung.order().len(), 20);
    kill.send(()).unwrap();
    let handler = RecordingHandler::quick(&tasks);
    let settings = ListenerSettings::default();
    let _handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(settings.lease - SECOND * 2);
    assert!(handler.handled().is_empty(), "the leases hold");
    tasks.pass(settings.interval * 2);
    assert_handled(&handler, ids("", 20), 1);
}

#[test]
fn promise_9_a_ledger_that_does_not_answer_is_given_up_and_asked_again() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(SECOND));
    let ledger = FaultyLedger::new(&store, None);
    let settings = ListenerSettings::default();
    let backend = Arc::new(store.backend());
    let listener = Listener::new(backend, ledger.clone(), handler.clone(), tasks.timer());
    let handle = start(&tasks, listener);
    tasks.pass(Duration::ZERO);
    produce(&mut tasks, &store, ids("before ", 20));
    tasks.pass(Duration::from_millis(500));
    // In the middle of the work of some, and before the claims of others.
    ledger.away.store(true, SeqCst);
    produce(&mut tasks, &store, ids("behind ", 20));
    ledger.calls.store(0, SeqCst);
    tasks.pass(SECOND * 100);
    assert!(
        ledger.calls.load(SeqCst) < 50,
        "it is not asked in a frenzy"
    );
    let counters = handle.counters();
    assert!(counters.unanswered > 0 && counters.lost > 0, "{counters:?}");
    ledger.away.store(false, SeqCst);
    tasks.pass(settings.interval * 5);
    // The note was lost, and the window knows what was done: nothing is done twice.
    assert_handled(&handler, ids("before ", 20).chain(ids("behind ", 20)), 1);
    let left = tasks.run(async move { store.scan(&Scan::new(100)).await.unwrap() });
    assert!(left.completions.is_empty(), "{left:?}");
}

/// The listener filters the stream of a backend that cannot filter.
#[test]
fn promise_9_a_listener_filters_for_a_backend_that_cannot() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::quick(&tasks);
    let tag = Tag::new("wanted").unwrap();
    let backend = PlainBackend::mapping(&store, |stream| stream);
    let ledger = Arc::new(store.clone());
    let listener = Listener::new(backend, ledger, handler.clone(), tasks.timer());
    let filter = Filter::all().with_tag(tag.clone());
    let handle = start(&tasks, listener.with_filter(filter));
    tasks.pass(Duration::ZERO);
    tasks.run(async move {
        let wanted = Execution::new(execution("wanted")).with_tag(tag);
        store.start(&wanted).await.unwrap();
        store
            .finish(&wanted.id, &Outcome::Skipped, None)
            .await
            .unwrap();
        finish(&store, "unwanted").await;
    });
    tasks.pass(SECOND * 100);
    assert_handled(&handler, ["wanted".into()], 1);
    assert_eq!(handle.counters().streamed, 2);
}

/// Every reason is told once, and once more when it is over.
#[test]
fn promise_9_a_listener_says_why_it_does_not_work_and_that_it_works_again() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::quick(&tasks);
    let ledger = FaultyLedger::new(&store, None);
    let notices: Arc<Mutex<Vec<ListenerNotice>>> = Arc::default();
    let told = Arc::clone(&notices);
    let backend = Arc::new(store.backend());
    let listener = Listener::new(backend, ledger.clone(), handler, tasks.timer());
    let listener = listener.with_observer(move |notice| told.lock().unwrap().push(notice.clone()));
    let handle = start(&tasks, listener);
    tasks.pass(SECOND);
    assert_eq!(*notices.lock().unwrap(), []);
    for _ in 0..2 {
        ledger.away.store(true, SeqCst);
        tasks.pass(SECOND * 200);
        let said = std::mem::take(&mut *notices.lock().unwrap());
        let [ListenerNotice::Trouble { part, kind, text }] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(
            (*part, *kind),
            (ListenerPart::Take, BackendErrorKind::Unreachable)
        );
        assert!(text.contains("did not answer within 5s"), "{text}");
        assert_eq!(handle.status().troubles.len(), 1);
        ledger.away.store(false, SeqCst);
        tasks.pass(SECOND * 20);
        let part = ListenerPart::Take;
        let said = std::mem::take(&mut *notices.lock().unwrap());
        assert_eq!(said, [ListenerNotice::Recovered { part }]);
        assert_eq!(handle.status().troubles, []);
    }
}
