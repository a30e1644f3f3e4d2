//! Calls of producers and subscriptions with the waiting done and the answers asserted.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use midplane::completions::{
    Attempt, Change, Completion, CompletionBackend, CompletionStream, Cursor, Execution,
    ExecutionId, Filter, Handled, Handler, Ledger, Outcome, Producer, Settled, StreamItem,
    SubscribeError, Take, Trouble, Verdict,
};
use midplane_testkit::{succeeds, within};

/// A handler with nothing to do.
#[derive(Debug)]
pub struct Done;

#[async_trait]
impl Handler for Done {
    async fn handle(
        &self,
        _: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        Ok(Handled::Done)
    }
}

/// The id that a text spells.
///
/// # Panics
/// When the text is no id.
pub fn execution(id: impl AsRef<str>) -> ExecutionId {
    ExecutionId::new(id.as_ref()).expect("an id")
}

/// Starts an execution, which must be new.
///
/// # Panics
/// When the store does not do so in time.
pub async fn start(producer: &dyn Producer, execution: &Execution) {
    let change = within("starting", producer.start(execution)).await;
    assert_eq!(change.expect("it starts"), Change::Made);
}

/// Starts an execution that is nothing but its id.
///
/// # Panics
/// When the store does not do so in time.
pub async fn begin(producer: &dyn Producer, id: impl AsRef<str>) {
    start(producer, &Execution::new(execution(id))).await;
}

/// Finishes an execution, which must be running.
///
/// # Panics
/// When the store does not do so in time.
pub async fn finish(
    producer: &dyn Producer,
    id: impl AsRef<str>,
    outcome: &Outcome,
    bytes: Option<Bytes>,
) {
    let id = execution(id);
    let change = within("finishing", producer.finish(&id, outcome, bytes)).await;
    assert_eq!(change.expect("it finishes"), Change::Made);
}

/// Finishes an execution with success and no bytes.
///
/// # Panics
/// When the store does not do so in time.
pub async fn complete(producer: &dyn Producer, id: impl AsRef<str>) {
    finish(producer, id, &Outcome::Success, None).await;
}

/// Starts an execution and completes it.
///
/// # Panics
/// When the store does not do so in time.
pub async fn run(producer: &dyn Producer, id: impl AsRef<str>) {
    begin(producer, &id).await;
    complete(producer, &id).await;
}

/// Takes up to 1,000 executions, records these as handled, and gives the others back.
///
/// # Panics
/// When the store does not do so in time, or one of these cannot be taken.
pub async fn handle(ledger: &dyn Ledger, ids: &[impl AsRef<str>]) {
    let lease = std::time::Duration::from_secs(60);
    let taken = within("taking", ledger.take(&Take::new(1_000), lease)).await;
    let mut left = ids.len();
    let settled = taken.expect("it is answered").work.into_iter();
    let settled = settled.map(|(_, claim)| {
        let wanted = ids.iter().any(|id| id.as_ref() == claim.execution.as_str());
        left -= usize::from(wanted);
        let verdict = match wanted {
            true => Verdict::Handled,
            false => Verdict::Returned,
        };
        Settled { claim, verdict }
    });
    let settled: Vec<_> = settled.collect();
    assert_eq!(left, 0, "each can be taken");
    let answer = within("settling", ledger.settle(&settled)).await;
    answer.expect("it is answered");
}

/// Starts these executions and completes them, in their order.
///
/// # Panics
/// When the store does not do so in time.
pub async fn run_all(producer: &dyn Producer, ids: impl IntoIterator<Item = impl AsRef<str>>) {
    for id in ids {
        run(producer, id).await;
    }
}

/// Subscribes to everything from now on.
///
/// # Panics
/// When the subscription is not live in time.
pub async fn subscribe(backend: &dyn CompletionBackend) -> CompletionStream {
    live(backend.subscribe_completions()).await
}

/// Subscribes to what the filter lets through, from now on.
///
/// # Panics
/// When the subscription is not live in time.
pub async fn subscribe_filtered(
    backend: &dyn CompletionBackend,
    filter: &Filter,
) -> CompletionStream {
    live(backend.subscribe_completions_filtered(filter)).await
}

/// Subscribes to what the filter lets through, behind the cursor.
///
/// # Panics
/// When the subscription is not live in time.
pub async fn subscribe_from(
    backend: &dyn CompletionBackend,
    cursor: &Cursor,
    filter: &Filter,
) -> CompletionStream {
    live(backend.subscribe_from(cursor, filter)).await
}

async fn live(
    call: impl Future<Output = Result<CompletionStream, SubscribeError>>,
) -> CompletionStream {
    succeeds("subscribing", call).await
}

/// The next item of the stream that is no [`StreamItem::Trouble`].
///
/// # Panics
/// When none arrives in time, or the stream ends.
pub async fn next_item(stream: &mut CompletionStream) -> StreamItem {
    loop {
        let item = within("the next item", stream.next()).await;
        match item.expect("the stream goes on") {
            StreamItem::Trouble(_) => {}
            item => return item,
        }
    }
}

/// The next trouble of the stream. Other items before it are passed.
///
/// # Panics
/// When none arrives in time, or the stream ends.
pub async fn next_trouble(stream: &mut CompletionStream) -> Trouble {
    within("a trouble", async {
        loop {
            if let StreamItem::Trouble(trouble) = stream.next().await.expect("it goes on") {
                return trouble;
            }
        }
    })
    .await
}

/// The next item of the stream, which must be the completion of this execution.
///
/// # Panics
/// When another item arrives, or none in time.
pub async fn expect(stream: &mut CompletionStream, id: impl AsRef<str>) -> Completion {
    match next_item(stream).await {
        StreamItem::Completion(completion) => {
            let arrived = completion.execution.as_str();
            assert_eq!(arrived, id.as_ref(), "the execution of the next completion");
            completion
        }
        item => panic!("the next item should be {}, not {item:?}", id.as_ref()),
    }
}

/// Waits for the completions of these executions, in any order, none twice. A [`StreamItem::Resync`] is
/// passed where `resyncs` says so.
///
/// # Panics
/// When another item arrives, or one is missing in time.
pub async fn expect_all(
    stream: &mut CompletionStream,
    ids: impl IntoIterator<Item = impl AsRef<str>>,
    resyncs: bool,
) {
    let mut missing: BTreeSet<_> = ids.into_iter().map(|id| id.as_ref().to_owned()).collect();
    while !missing.is_empty() {
        match next_item(stream).await {
            StreamItem::Completion(completion) => {
                let id = completion.execution.as_str();
                assert!(missing.remove(id), "{id} should not arrive");
            }
            StreamItem::Resync if resyncs => {}
            item => panic!("the next item should be a completion, not {item:?}"),
        }
    }
}

/// Waits for the completion of this execution. Completions of others before it must have ids that begin
/// with `prefix`.
///
/// # Panics
/// When another item arrives, or the completion does not in time.
pub async fn expect_through(stream: &mut CompletionStream, id: &ExecutionId, prefix: &str) {
    loop {
        match next_item(stream).await {
            StreamItem::Completion(completion) if completion.execution == *id => return,
            StreamItem::Completion(completion) => assert!(
                completion.execution.as_str().starts_with(prefix),
                "{} should not arrive",
                completion.execution
            ),
            item => panic!("the next item should be {id}, not {item:?}"),
        }
    }
}

/// The next items, which must be one [`StreamItem::Resync`] or more and a completion behind them, which is
/// given.
///
/// # Panics
/// When another item arrives, or none in time.
pub async fn expect_resync(stream: &mut CompletionStream) -> Completion {
    let item = next_item(stream).await;
    assert_eq!(item, StreamItem::Resync, "the notice of a resubscription");
    loop {
        match next_item(stream).await {
            StreamItem::Completion(completion) => return completion,
            StreamItem::Resync => {}
            item => panic!("the next item should be a completion, not {item:?}"),
        }
    }
}

/// The item that can be had without waiting, if there is one that is no [`StreamItem::Trouble`].
pub fn ready_item(stream: &mut CompletionStream) -> Option<StreamItem> {
    loop {
        match stream.next().now_or_never().flatten() {
            Some(StreamItem::Trouble(_)) => {}
            item => return item,
        }
    }
}

/// Polls the stream once: no item may be there.
///
/// # Panics
/// When an item is there.
pub fn expect_idle(stream: &mut CompletionStream) {
    if let Some(item) = ready_item(stream) {
        panic!("no item should arrive, not {item:?}");
    }
}
