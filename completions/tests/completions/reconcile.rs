//! From the ledger to the handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::ready;
use futures::stream;
use midplane::completions::{
    BackendError, BackendErrorKind, Claim, CompletionBackend, CompletionStream, Execution,
    ExecutionId, Filter, Ledger, Listener, ListenerSettings, MemoryStore, Outcome, Producer, Scan,
    Scanned, StreamItem, Tag, WalkReport,
};

use crate::kit::{
    Behaviour, PlainBackend, RecordingHandler, assert_handled, execution, finish, finish_all,
    listen, listen_to, store,
};
use midplane_testkit::local::LocalTasks;

const SECOND: Duration = Duration::from_secs(1);

fn ids(prefix: &str, count: usize) -> impl Iterator<Item = String> + use<'_> {
    (0..count).map(move |number| format!("{prefix}{number}"))
}

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
        let producer = store.clone();
        tasks.run(async move { finish_all(&producer, ids("", 1_000)).await });
        tasks.pass(settings.interval * 3);
        assert_handled(&handler, ids("", 1_000), 1);
        assert_eq!(handle.counters().reconciled.reconciled, 1_000);
        assert_eq!(handle.counters().streamed, 0);
        assert_eq!(handle.counters().unsubscribed > 0, !silent);
    }
}

#[test]
fn promise_9_what_finished_before_anybody_listened_is_found_at_once() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let producer = store.clone();
    tasks.run(async move { finish_all(&producer, ids("", 600)).await });
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
    let mut settings = ListenerSettings::default();
    settings.interval = SECOND * 500_000;
    let handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(Duration::ZERO);
    store.block();
    let producer = store.clone();
    tasks.run(async move { finish_all(&producer, ids("", 100)).await });
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
    let mut settings = ListenerSettings::default();
    settings.interval = SECOND * 500_000;
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

/// A ledger that does something the first time it has been scanned: the pause between the steps.
#[derive(Debug)]
struct Paused {
    store: MemoryStore,
    done: AtomicBool,
}

#[async_trait]
impl Ledger for Paused {
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        let page = self.store.scan(scan).await?;
        if !self.done.swap(true, SeqCst) {
            finish(&self.store, "between").await;
        }
        Ok(page)
    }

    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError> {
        self.store.claim(executions, lease).await
    }

    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError> {
        self.store.handled(claims).await
    }

    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError> {
        self.store.release(claims, pause).await
    }
}

/// A completion that commits after the scan arrives, since the subscription was live before the scan.
#[test]
fn promise_9_nothing_is_lost_between_the_scan_and_the_subscription() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::quick(&tasks);
    let mut settings = ListenerSettings::default();
    settings.interval = SECOND * 500_000;
    let (slow, clock) = (Arc::new(store.backend()), tasks.clock());
    let backend = PlainBackend::new(move || {
        let (slow, clock) = (Arc::clone(&slow), clock.clone());
        async move {
            clock.sleep(Duration::from_millis(1)).await;
            slow.subscribe_completions().await
        }
    });
    let ledger = Arc::new(Paused {
        store,
        done: AtomicBool::new(false),
    });
    let listener = Listener::new(backend, ledger, handler.clone(), tasks.timer());
    let (_handle, run) = listener.with_settings(settings).start();
    tasks.spawn(run);
    tasks.pass(SECOND);
    assert_handled(&handler, ["between".into()], 1);
}

#[test]
fn promise_9_a_report_counts_what_the_walk_found() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, _| match id {
        "wanted 1" => Behaviour::NoOp,
        "wanted 2" => Behaviour::Fail,
        "wanted 3" => Behaviour::Panic,
        _ => Behaviour::Work(Duration::ZERO),
    });
    let tag = Tag::new("wanted").unwrap();
    let producer = store.clone();
    let wanted = tag.clone();
    tasks.run(async move {
        for id in ids("wanted ", 10) {
            let started = Execution::new(execution(&id)).with_tag(wanted.clone());
            producer.start(&started).await.unwrap();
            producer
                .finish(&started.id, &Outcome::Failure, None)
                .await
                .unwrap();
        }
        finish_all(&producer, ids("unwanted ", 5)).await;
        // In other hands.
        producer
            .claim(&[execution("wanted 4")], SECOND * 50)
            .await
            .unwrap();
    });
    let backend = dead_backend(true);
    let listener = Listener::new(backend, Arc::new(store), handler, tasks.timer());
    let (handle, run) = listener.with_filter(Filter::all().with_tag(tag)).start();
    tasks.spawn(run);
    tasks.pass(Duration::ZERO);
    let mut expected = WalkReport::default();
    expected.scanned = 14;
    expected.reconciled = 6;
    expected.no_op = 1;
    expected.filtered = 5;
    expected.errors = 2;
    assert_eq!(handle.counters().reconciled, expected);
    // What was asked for is told of that walk alone: what failed waits, what is not wanted stays.
    let report = tasks.run(async move { handle.reconcile().await });
    let mut expected = WalkReport::default();
    expected.scanned = 5;
    expected.filtered = 5;
    assert_eq!(report, Some(expected));
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
    let producer = store.clone();
    tasks.run(async move {
        finish_all(&producer, ids("hangs", 10)).await;
        finish_all(&producer, ids("fails", 100)).await;
        finish_all(&producer, ids("works", 100)).await;
    });
    let mut settings = ListenerSettings::default();
    settings.page = 10;
    settings.pages = 3;
    settings.interval = SECOND;
    settings.stale = Duration::ZERO;
    // So short that what failed is at the head again with every walk.
    settings.backoff = midplane::Backoff::new(Duration::ZERO, Duration::ZERO);
    let backend = dead_backend(true);
    let _handle = listen_to(&tasks, backend, &store, &handler, settings);
    tasks.pass(settings.lease * 8);
    assert_handled(&handler, ids("works", 100), 1);
}

#[test]
fn promise_9_leases_of_a_listener_that_died_come_back() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let hung = RecordingHandler::new(&tasks, |_, _| Behaviour::Hang);
    let listener = Listener::new(
        Arc::new(store.backend()),
        Arc::new(store.clone()),
        hung.clone(),
        tasks.timer(),
    );
    let (_handle, run) = listener.start();
    let (kill, killed) = futures::channel::oneshot::channel::<()>();
    tasks.spawn(async move {
        futures::future::select(run, killed).await;
    });
    tasks.pass(Duration::ZERO);
    let producer = store.clone();
    tasks.run(async move { finish_all(&producer, ids("", 20)).await });
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

/// A ledger that does not answer for a while.
#[derive(Debug)]
struct Away {
    store: MemoryStore,
    away: AtomicBool,
    calls: AtomicUsize,
}

impl Away {
    async fn answer(&self) -> Result<(), BackendError> {
        self.calls.fetch_add(1, SeqCst);
        match self.away.load(SeqCst) {
            true => std::future::pending().await,
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for Away {
    async fn scan(&self, scan: &Scan) -> Result<Scanned, BackendError> {
        self.answer().await?;
        self.store.scan(scan).await
    }

    async fn claim(
        &self,
        executions: &[ExecutionId],
        lease: Duration,
    ) -> Result<Vec<Claim>, BackendError> {
        self.answer().await?;
        self.store.claim(executions, lease).await
    }

    async fn handled(&self, claims: &[Claim]) -> Result<(), BackendError> {
        self.answer().await?;
        self.store.handled(claims).await
    }

    async fn release(&self, claims: &[Claim], pause: Duration) -> Result<(), BackendError> {
        self.answer().await?;
        self.store.release(claims, pause).await
    }
}

#[test]
fn promise_9_a_ledger_that_does_not_answer_is_given_up_and_asked_again() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(SECOND));
    let ledger = Arc::new(Away {
        store: store.clone(),
        away: AtomicBool::new(false),
        calls: AtomicUsize::new(0),
    });
    let settings = ListenerSettings::default();
    let backend = Arc::new(store.backend());
    let listener = Listener::new(backend, ledger.clone(), handler.clone(), tasks.timer());
    let (handle, run) = listener.start();
    tasks.spawn(run);
    tasks.pass(Duration::ZERO);
    let producer = store.clone();
    tasks.run(async move { finish_all(&producer, ids("before ", 20)).await });
    tasks.pass(Duration::from_millis(500));
    // In the middle of the work of some, and before the claims of others.
    ledger.away.store(true, SeqCst);
    let producer = store.clone();
    tasks.run(async move { finish_all(&producer, ids("behind ", 20)).await });
    ledger.calls.store(0, SeqCst);
    tasks.pass(SECOND * 100);
    assert!(
        ledger.calls.load(SeqCst) < 50,
        "it is not asked in a frenzy"
    );
    let counters = handle.counters();
    assert!(
        counters.unclaimed > 0 && counters.unsettled > 0,
        "{counters:?}"
    );
    assert!(counters.reconciled.errors > 0);
    ledger.away.store(false, SeqCst);
    tasks.pass(settings.interval * 5);
    // The note was lost, and the window knows what was done: nothing is done twice.
    assert_handled(&handler, ids("before ", 20).chain(ids("behind ", 20)), 1);
    let left = tasks.run(async move { store.scan(&Scan::new(Duration::ZERO, 100)).await.unwrap() });
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
    let listener = Listener::new(
        backend,
        Arc::new(store.clone()),
        handler.clone(),
        tasks.timer(),
    );
    let (handle, run) = listener
        .with_filter(Filter::all().with_tag(tag.clone()))
        .start();
    tasks.spawn(run);
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
