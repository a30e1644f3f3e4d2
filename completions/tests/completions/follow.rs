//! The follower: how it turns a journal into a stream when the journal loses wake-ups, hangs, is away, or cannot filter.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::{Either, pending, ready, select};
use midplane::completions::{
    BackendError, Capabilities, CompletionBackend, CompletionStream, Cursor, Filter, Follower,
    Journal, JournalReader, MemoryStore, Pace, Page, ReadError, StreamItem, SubscribeError, Tag,
};

use crate::kit::{SECOND, finish, finish_all, store};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::local::LocalTasks;

/// What arrives within this time, or `None`. What is in the way of the stream is passed.
async fn within(
    clock: &VirtualClock,
    time: Duration,
    stream: &mut CompletionStream,
) -> Option<StreamItem> {
    let mut items = stream.filter(|item| ready(!matches!(item, StreamItem::Trouble(_))));
    match select(items.next(), pin!(clock.sleep(time))).await {
        Either::Left((item, _)) => Some(item.expect("the stream goes on")),
        Either::Right(_) => None,
    }
}

fn id(item: Option<StreamItem>) -> String {
    match item {
        Some(StreamItem::Completion(completion)) => completion.execution.to_string(),
        item => panic!("there should be a completion, not {item:?}"),
    }
}

/// A journal that misbehaves.
#[derive(Debug, Clone)]
struct FaultyJournal {
    store: MemoryStore,
    fault: Fault,
    connects: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing is wrong.
    None,
    /// A wait never ends.
    NeverWakes,
    /// The read with this number, from 0, never returns.
    ReadHangs(usize),
    /// Claims no capabilities: neither filters nor durable cursors.
    NoCapabilities,
    /// A wait ends at once, whether there is something to read or not.
    WakesAlways,
}

impl FaultyJournal {
    fn new(store: &MemoryStore, fault: Fault) -> Self {
        Self {
            store: store.clone(),
            fault,
            connects: Arc::default(),
            reads: Arc::default(),
        }
    }
}

struct FaultyReader {
    journal: FaultyJournal,
    reader: Box<dyn JournalReader>,
}

#[async_trait]
impl Journal for FaultyJournal {
    fn capabilities(&self) -> Capabilities {
        match self.fault {
            Fault::NoCapabilities => Capabilities::new(),
            _ => self.store.capabilities(),
        }
    }

    async fn connect(&self, filter: &Filter) -> Result<Box<dyn JournalReader>, BackendError> {
        self.connects.fetch_add(1, SeqCst);
        let reader = self.store.connect(filter).await?;
        let journal = self.clone();
        Ok(Box::new(FaultyReader { journal, reader }))
    }
}

#[async_trait]
impl JournalReader for FaultyReader {
    async fn head(&mut self) -> Result<Cursor, BackendError> {
        self.reader.head().await
    }

    async fn read(&mut self, after: &Cursor, most: usize) -> Result<Page, ReadError> {
        let number = self.journal.reads.fetch_add(1, SeqCst);
        if self.journal.fault == Fault::ReadHangs(number) {
            return pending().await;
        }
        self.reader.read(after, most).await
    }

    async fn wait(&mut self) -> Result<(), BackendError> {
        match self.journal.fault {
            Fault::NeverWakes => pending().await,
            Fault::WakesAlways => Ok(()),
            _ => self.reader.wait().await,
        }
    }
}

/// Runs a test on a stream that follows a journal with this fault.
fn follow<F: Future<Output = ()> + 'static>(
    fault: Fault,
    pace: Pace,
    test: impl FnOnce(MemoryStore, FaultyJournal, CompletionStream, VirtualClock) -> F + 'static,
) {
    let mut tasks = LocalTasks::new();
    let (store, timer, clock) = (store(&tasks), tasks.timer(), tasks.clock());
    tasks.run(async move {
        let faulty = FaultyJournal::new(&store, fault);
        let follower = Follower::new(Arc::new(faulty.clone()), timer).with_pace(pace);
        let stream = follower.subscribe_completions().await.unwrap();
        test(store, faulty, stream, clock).await;
    });
}

#[test]
fn promise_9_resync_comes_once_the_store_has_answered_and_not_before() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let clock = tasks.clock();
    tasks.run(async move {
        let mut stream = store.backend().subscribe_completions().await.unwrap();
        store.block();
        finish(&store, "meanwhile").await;
        assert_eq!(within(&clock, SECOND * 3_600, &mut stream).await, None);
        store.unblock();
        let item = within(&clock, SECOND * 10, &mut stream).await;
        assert_eq!(item, Some(StreamItem::Resync));
        assert_eq!(id(within(&clock, SECOND, &mut stream).await), "meanwhile");
    });
}

#[test]
fn promise_9_a_store_that_is_away_is_asked_again_and_not_in_a_frenzy() {
    follow(
        Fault::None,
        Pace::default(),
        async |store, faulty, mut stream, clock| {
            store.block();
            faulty.connects.store(0, SeqCst);
            assert_eq!(within(&clock, SECOND * 3_600, &mut stream).await, None);
            // Full jitter up to 5 s: 1,440 attempts on average.
            let attempts = faulty.connects.load(SeqCst);
            assert!((1_300..1_600).contains(&attempts), "{attempts} attempts");
        },
    );
}

#[test]
fn promise_9_a_wake_up_that_is_lost_costs_a_poll_and_no_completion() {
    follow(
        Fault::NeverWakes,
        Pace::default(),
        async |store, _, mut stream, clock| {
            for round in 0..10 {
                finish(&store, format!("{round}")).await;
                let item = within(&clock, Duration::from_millis(1_001), &mut stream).await;
                assert_eq!(id(item), format!("{round}"));
            }
        },
    );
}

#[test]
fn promise_9_a_connection_that_says_nothing_is_given_up() {
    follow(
        Fault::ReadHangs(3),
        Pace::default(),
        async |store, faulty, mut stream, clock| {
            finish_all(&store, ["a".into(), "b".into()]).await;
            assert_eq!(id(within(&clock, SECOND, &mut stream).await), "a");
            assert_eq!(id(within(&clock, SECOND, &mut stream).await), "b");
            // Read for read, until the one that never ends.
            let item = within(&clock, SECOND * 20, &mut stream).await;
            assert_eq!(item, Some(StreamItem::Resync));
            finish(&store, "c").await;
            assert_eq!(id(within(&clock, SECOND * 2, &mut stream).await), "c");
            assert_eq!(faulty.connects.load(SeqCst), 2);
        },
    );
}

#[test]
fn promise_9_a_backend_that_cannot_filter_streams_nothing_rather_than_everything() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let timer = tasks.timer();
    tasks.run(async move {
        let faulty = FaultyJournal::new(&store, Fault::NoCapabilities);
        let follower = Follower::new(Arc::new(faulty.clone()), timer);
        let filter = Filter::all().with_tag(Tag::new("t").unwrap());
        let filtered = follower.subscribe_completions_filtered(&filter).await;
        let error = filtered.unwrap_err();
        assert!(matches!(error, SubscribeError::CannotFilter));
        let mut reader = store.connect(&Filter::all()).await.unwrap();
        let cursor = reader.head().await.unwrap();
        let resumed = follower.subscribe_from(&cursor, &Filter::all()).await;
        let error = resumed.unwrap_err();
        assert!(matches!(error, SubscribeError::NotDurable));
        assert_eq!(faulty.connects.load(SeqCst), 0, "it was not even asked");
        let everything = Filter::all();
        let unfiltered = follower.subscribe_completions_filtered(&everything).await;
        assert!(unfiltered.is_ok());
    });
}

#[test]
fn promise_9_a_short_page_and_an_eager_store_change_nothing() {
    for fault in [Fault::WakesAlways, Fault::None] {
        let mut pace = Pace::default();
        pace.page = 0;
        follow(fault, pace, async |store, _, mut stream, clock| {
            finish_all(&store, (0..50).map(|number| format!("{number}"))).await;
            for number in 0..50 {
                let item = within(&clock, SECOND, &mut stream).await;
                assert_eq!(id(item), format!("{number}"));
            }
        });
    }
}
