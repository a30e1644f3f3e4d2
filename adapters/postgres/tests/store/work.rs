//! A producer and a subscription with the waiting done.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use midplane_completions::{
    CompletionBackend, CompletionStream, Execution, ExecutionId, Outcome, Pace, Producer,
    StreamItem,
};
use midplane_completions_suite::Transaction;
use midplane_postgres::PostgresStore;
use midplane_testkit::within;

use crate::place::{Place, brisk};
use crate::sql::Begun;

pub(crate) fn execution(id: &str) -> ExecutionId {
    ExecutionId::new(id).expect("an id")
}

pub(crate) async fn begin(store: &PostgresStore, id: &str) {
    let started = Execution::new(execution(id));
    let started = within("starting", store.start(&started)).await;
    started.expect("it starts");
}

pub(crate) async fn finish(store: &PostgresStore, id: &str) {
    let id = execution(id);
    let finished = store.finish(&id, &Outcome::Success, None);
    within("finishing", finished).await.expect("it finishes");
}

pub(crate) async fn finish_in(begun: &mut Begun, id: &str) {
    let id = execution(id);
    let finished = begun.finish(&id, &Outcome::Success, None);
    within("finishing", finished).await.expect("it finishes");
}

pub(crate) async fn complete(store: &PostgresStore, id: &str) {
    begin(store, id).await;
    finish(store, id).await;
}

/// Never looks for itself: what it sees, it was woken for.
pub(crate) fn asleep() -> Pace {
    let mut pace = brisk();
    pace.poll = Duration::from_secs(3_600);
    pace
}

pub(crate) async fn subscribe(place: &Place, pace: Pace) -> CompletionStream {
    let backend = place.listeners("listener").backend().with_pace(pace);
    within("subscribing", backend.subscribe_completions())
        .await
        .expect("a subscription")
}

pub(crate) async fn next(stream: &mut CompletionStream) -> StreamItem {
    let next = within("the next item", stream.next()).await;
    next.expect("the stream goes on")
}

/// Waits for these, in any order, none twice. Notices are passed where that is said.
pub(crate) async fn hears(
    stream: &mut CompletionStream,
    ids: impl IntoIterator<Item = String>,
    notices: bool,
) {
    let mut missing: BTreeSet<String> = ids.into_iter().collect();
    while !missing.is_empty() {
        match next(stream).await {
            StreamItem::Completion(completion) => {
                let id = completion.execution.as_str();
                assert!(missing.remove(id), "{id} should not arrive");
            }
            StreamItem::Resync if notices => {}
            item => panic!("the next item should be a completion, not {item:?}"),
        }
    }
}

pub(crate) fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix} {number}"))
        .collect()
}
