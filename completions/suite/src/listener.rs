//! A subscription and a producer with the waiting done, as the checks use them.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use midplane::completions::{
    Change, Completion, CompletionStream, Cursor, Execution, ExecutionId, Filter, Outcome,
    Producer, StreamItem, SubscribeError,
};

use super::Fixture;
use midplane_testkit::within;

/// The id that a text spells.
pub(crate) fn execution(id: impl AsRef<str>) -> ExecutionId {
    ExecutionId::new(id).expect("an id")
}

/// One subscription.
pub(crate) struct Listener {
    stream: CompletionStream,
}

impl Listener {
    pub(crate) async fn new(fixture: &Arc<dyn Fixture>) -> Self {
        Self::of(fixture.backend().subscribe_completions()).await
    }

    pub(crate) async fn filtered(fixture: &Arc<dyn Fixture>, filter: &Filter) -> Self {
        Self::of(fixture.backend().subscribe_completions_filtered(filter)).await
    }

    pub(crate) async fn from(fixture: &Arc<dyn Fixture>, cursor: &Cursor, filter: &Filter) -> Self {
        Self::of(fixture.backend().subscribe_from(cursor, filter)).await
    }

    async fn of(call: impl Future<Output = Result<CompletionStream, SubscribeError>>) -> Self {
        let stream = within("subscribing", call).await.expect("a subscription");
        Self { stream }
    }

    pub(crate) async fn next(&mut self) -> StreamItem {
        within("the next item", self.stream.next())
            .await
            .expect("the stream goes on")
    }

    /// What arrives next, which must be this completion.
    pub(crate) async fn hears(&mut self, id: impl AsRef<str>) -> Completion {
        match self.next().await {
            StreamItem::Completion(completion) => {
                assert_eq!(
                    completion.execution.as_str(),
                    id.as_ref(),
                    "the execution of the next completion"
                );
                completion
            }
            item => panic!("the next item should be {}, not {item:?}", id.as_ref()),
        }
    }

    /// Polls the stream without waiting for it: nothing may be there.
    pub(crate) fn idles(&mut self) {
        if let Some(item) = self.glance() {
            panic!("nothing should arrive, not {item:?}");
        }
    }

    /// What is there without waiting for it.
    pub(crate) fn glance(&mut self) -> Option<StreamItem> {
        self.stream.next().now_or_never().flatten()
    }

    /// What arrives next, up to this completion; what comes before it must have ids that begin so.
    pub(crate) async fn hears_through(&mut self, id: &ExecutionId, prefix: &str) {
        loop {
            match self.next().await {
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

    /// What arrives next must be the notice that the subscription was made anew, perhaps more than once.
    /// The first completion behind it is given.
    pub(crate) async fn resyncs(&mut self) -> Completion {
        assert_eq!(
            self.next().await,
            StreamItem::Resync,
            "the notice of a new subscription"
        );
        loop {
            match self.next().await {
                StreamItem::Completion(completion) => return completion,
                StreamItem::Resync => {}
                item => panic!("the next item should be a completion, not {item:?}"),
            }
        }
    }
}

/// The store's producer.
pub(crate) struct Work(pub(crate) Arc<dyn Producer>);

impl Work {
    pub(crate) fn new(fixture: &Arc<dyn Fixture>) -> Self {
        Self(fixture.producer())
    }

    pub(crate) async fn start(&self, execution: &Execution) {
        let change = within("starting", self.0.start(execution)).await;
        assert_eq!(change.expect("it starts"), Change::Made);
    }

    pub(crate) async fn finish(
        &self,
        id: impl AsRef<str>,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) {
        let id = execution(id);
        let finished = self.0.finish(&id, outcome, bytes);
        let change = within("finishing", finished).await;
        assert_eq!(change.expect("it finishes"), Change::Made);
    }

    /// Starts an execution.
    pub(crate) async fn begin(&self, id: impl AsRef<str>) {
        self.start(&Execution::new(execution(id))).await;
    }

    /// Starts an execution and completes it.
    pub(crate) async fn run(&self, id: impl AsRef<str>) {
        self.begin(&id).await;
        self.finish(&id, &Outcome::Success, None).await;
    }

    /// Starts these and completes them, in their order.
    pub(crate) async fn run_all(&self, ids: impl IntoIterator<Item = impl AsRef<str>>) {
        for id in ids {
            self.run(id).await;
        }
    }
}
