//! Subscriptions that start while others finish executions without a pause.

use std::collections::HashMap;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Instant;

use futures::future::{join, join_all};
use midplane::completions::{CompletionStream, StreamItem};
use midplane_testkit::executor::Executor;

use crate::fixture::Fixture;
use crate::script::{next_item, run, subscribe};
use crate::size::{asked, figures};

/// Executions of a producer, if nobody stops it before.
const MOST: usize = 50_000;

/// How many do what at once.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LoadSize {
    /// Producers that finish executions one after the other, each with connections of its own.
    pub producers: usize,
    /// Tasks that subscribe again and again.
    pub subscribers: usize,
    /// Subscriptions of each of those.
    pub each: usize,
    /// How many subscriptions ago of a task nothing is of this one: a producer may be stopped in the middle of a commit, and
    /// what comes behind that is not before a subscription, but not for all of these.
    pub back: usize,
    /// Whether the environment asked for this size.
    pub asked: bool,
}

impl LoadSize {
    /// The size that the environment asks for by `MIDPLANE_SUBSCRIPTIONS`, beside `MIDPLANE_PRODUCERS` (8), or else that of
    /// a test: 8 subscriptions beside 4 producers.
    #[must_use]
    pub fn asked() -> Self {
        let subscriptions = asked("MIDPLANE_SUBSCRIPTIONS");
        let producers = subscriptions.map_or(4, |_| asked("MIDPLANE_PRODUCERS").unwrap_or(8));
        let (subscribers, each) = subscriptions.map_or((2, 4), |count| (8, count.div_ceil(8)));
        Self {
            producers: producers.max(1),
            subscribers,
            each: each.max(1),
            back: subscriptions.map_or(2, |_| 20),
            asked: subscriptions.is_some(),
        }
    }
}

/// The executions that arrive up to this one. No notice may be among them.
async fn through(stream: &mut CompletionStream, last: &str) -> Vec<String> {
    let mut arrived = Vec::new();
    loop {
        match next_item(stream).await {
            StreamItem::Completion(completion) => arrived.push(completion.execution.to_string()),
            item => panic!("nothing was lost, and {item:?} came"),
        }
        if arrived.last().is_some_and(|id| id == last) {
            return arrived;
        }
    }
}

/// Lets other tasks have a turn.
async fn others_first() {
    let mut over = false;
    poll_fn(|cx| {
        if mem::replace(&mut over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Finishes executions until it is told to stop.
async fn produce(fixture: Arc<dyn Fixture>, number: usize, running: Arc<AtomicBool>) {
    let producer = fixture.producer();
    for round in 0..MOST {
        if !running.load(Ordering::Relaxed) {
            return;
        }
        run(&*producer, format!("load {number} {round}")).await;
        // A store that never waits would leave the others no time.
        others_first().await;
    }
}

/// What each of some subscriptions yields, up to an execution that finishes when the subscription is live.
async fn stretches(fixture: &dyn Fixture, number: usize, size: LoadSize) -> Vec<Vec<String>> {
    let producer = fixture.producer();
    let mut stretches = Vec::new();
    for round in 0..size.each {
        let mut stream = subscribe(&*fixture.backend()).await;
        let marker = format!("marker {number} {round}");
        run(&*producer, &marker).await;
        let stretch = through(&mut stream, &marker).await;
        // What commits while the subscription starts may be just before it, but nothing older.
        let old = round
            .checked_sub(size.back)
            .map(|old| format!("marker {number} {old}"));
        assert!(
            old.is_none_or(|old| !stretch.contains(&old)),
            "the subscription starts in the past"
        );
        stretches.push(stretch);
    }
    stretches
}

/// "Live when the call returns: every completion committed after that is yielded, in the order of the store": also while
/// others commit, where each subscription yields one stretch of the history, without a notice.
pub(crate) async fn a_subscription_under_load_starts_exactly(fixture: Arc<dyn Fixture>) {
    let size = LoadSize::asked();
    let running = Arc::new(AtomicBool::new(true));
    let producing = (0..size.producers)
        .map(|number| produce(Arc::clone(&fixture), number, Arc::clone(&running)));
    let stop = async || running.store(false, Ordering::Relaxed);
    if size.asked {
        // At full speed: beside the subscribers, and not in turns with them.
        let threads: Vec<_> = producing
            .map(|producing| thread::spawn(|| Executor::Smol.run(producing)))
            .collect();
        subscriptions_start_exactly(&*fixture, size, async {}, stop).await;
        for thread in threads {
            thread.join().expect("a producer ends well");
        }
    } else {
        let producing = async { drop(join_all(producing).await) };
        subscriptions_start_exactly(&*fixture, size, producing, stop).await;
    }
}

/// Has subscriptions begin while others produce, until they are told to stop, and requires that each yields one stretch of
/// the history, from no earlier than where it began to what committed when it was live, without a notice.
///
/// # Panics
/// When one does not.
pub async fn subscriptions_start_exactly(
    fixture: &dyn Fixture,
    size: LoadSize,
    producing: impl Future<Output = ()>,
    stop: impl AsyncFnOnce(),
) {
    let mut whole = subscribe(&*fixture.backend()).await;
    let begun = Instant::now();
    let subscribing = async {
        let subscribers = (0..size.subscribers).map(|number| stretches(fixture, number, size));
        let all = join_all(subscribers).await;
        stop().await;
        all.concat()
    };
    let acting = async {
        let ((), stretches) = join(producing, subscribing).await;
        let elapsed = begun.elapsed().as_secs_f64();
        run(&*fixture.producer(), "last").await;
        (stretches, elapsed)
    };
    let ((stretches, elapsed), order) = join(acting, through(&mut whole, "last")).await;
    if size.asked {
        figures(format_args!(
            "{} subscriptions began while {} producers finished {} executions in {elapsed:.1} s",
            stretches.len(),
            size.producers,
            order.len() - stretches.len() - 1,
        ));
    }
    let places: HashMap<&String, usize> = order.iter().zip(0..).collect();
    assert_eq!(places.len(), order.len(), "one arrived twice");
    for stretch in stretches {
        let first = places[&stretch[0]];
        assert_eq!(
            stretch,
            order[first..][..stretch.len()],
            "a stretch of the history as another subscription had it"
        );
    }
}
