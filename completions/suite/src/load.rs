//! Subscriptions that start while others finish executions without a pause.

use std::collections::HashMap;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::future::{join, join_all};
use midplane::completions::{CompletionStream, StreamItem};

use crate::fixture::Fixture;
use crate::script::{next_item, run, subscribe};

/// Producers that finish executions one after the other.
const PRODUCERS: usize = 4;
/// Executions of a producer, if nobody stops it before.
const MOST: usize = 50_000;
/// Tasks that subscribe again and again.
const SUBSCRIBERS: usize = 2;
/// Subscriptions of each of those.
const EACH: usize = 4;

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
async fn produce(fixture: &dyn Fixture, number: usize, running: &AtomicBool) {
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
async fn stretches(fixture: &dyn Fixture, number: usize) -> Vec<Vec<String>> {
    let producer = fixture.producer();
    let mut stretches = Vec::new();
    for round in 0..EACH {
        let mut stream = subscribe(&*fixture.backend()).await;
        let marker = format!("marker {number} {round}");
        run(&*producer, &marker).await;
        let stretch = through(&mut stream, &marker).await;
        // What commits while the subscription starts may be just before it, but nothing older.
        let old = round
            .checked_sub(2)
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
    let mut whole = subscribe(&*fixture.backend()).await;
    let running = AtomicBool::new(true);
    let producing = (0..PRODUCERS).map(|number| produce(&*fixture, number, &running));
    let subscribing = async {
        let all = join_all((0..SUBSCRIBERS).map(|number| stretches(&*fixture, number))).await;
        running.store(false, Ordering::Relaxed);
        all.concat()
    };
    let (_, stretches) = join(join_all(producing), subscribing).await;
    run(&*fixture.producer(), "last").await;
    let order = through(&mut whole, "last").await;
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
