//! A store in memory, a listener on a virtual clock, and a handler that records what it does.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::Stream;
use midplane::completions::{
    Attempt, Capabilities, Completion, CompletionBackend, CompletionStream, Cursor, Execution,
    ExecutionId, Filter, FlowId, Handled, Handler, Listener, ListenerHandle, ListenerSettings,
    MemoryStore, Outcome, Producer, StreamItem, SubscribeError,
};
use midplane::{Instant, Std, Timer};

use crate::meant::panic_as_meant;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::local::LocalTasks;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Settings under which the listener looks into the ledger for the stream alone.
pub(crate) fn stream_alone() -> ListenerSettings {
    let mut settings = ListenerSettings::default();
    settings.interval = SECOND * 500_000;
    settings
}

pub(crate) fn ids(prefix: &str, count: usize) -> impl Iterator<Item = String> + use<'_> {
    (0..count).map(move |number| format!("{prefix}{number}"))
}

pub(crate) fn execution(id: impl AsRef<str>) -> ExecutionId {
    ExecutionId::new(id.as_ref()).unwrap()
}

/// A store on the clock of the tasks.
pub(crate) fn store(tasks: &LocalTasks) -> MemoryStore {
    MemoryStore::new(tasks.timer())
}

/// Starts and completes an execution, of the flow that stands before the colon of its id, if any.
pub(crate) async fn finish(store: &MemoryStore, id: impl AsRef<str>) {
    let id = id.as_ref();
    let mut started = Execution::new(execution(id));
    if let Some((flow, _)) = id.split_once(':') {
        started = started.with_flow(FlowId::new(flow).unwrap());
    }
    store.start(&started).await.unwrap();
    store
        .finish(&started.id, &Outcome::Success, None)
        .await
        .unwrap();
}

pub(crate) async fn finish_all(store: &MemoryStore, ids: impl IntoIterator<Item = String>) {
    for id in ids {
        finish(store, id).await;
    }
}

/// Starts and completes executions on the store, among the tasks.
pub(crate) fn produce(
    tasks: &mut LocalTasks,
    store: &MemoryStore,
    ids: impl Iterator<Item = String> + 'static,
) {
    let store = store.clone();
    tasks.run(async move { finish_all(&store, ids).await });
}

/// What a handler does with an execution.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behaviour {
    Work(Duration),
    NoOp,
    Fail,
    Panic,
    Hang,
}

/// What the handler did, and when.
#[derive(Default)]
pub(crate) struct HandlerLog {
    /// How often the handler was called for each execution.
    called: HashMap<String, usize>,
    /// Begins and ends, in order.
    pub(crate) steps: Vec<(Instant, bool, String)>,
    pub(crate) running: usize,
    pub(crate) most: usize,
    /// How often each execution was handled to its end.
    pub(crate) handled: HashMap<String, usize>,
}

type BehaviourOf = dyn Fn(&str, usize) -> Behaviour + Send + Sync;

/// A handler that does to each execution what the function says, given how often it was called for it.
pub(crate) struct RecordingHandler {
    clock: VirtualClock,
    pub(crate) log: Mutex<HandlerLog>,
    act: Box<BehaviourOf>,
}

impl RecordingHandler {
    pub(crate) fn new(
        tasks: &LocalTasks,
        act: impl Fn(&str, usize) -> Behaviour + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: tasks.clock(),
            log: Mutex::default(),
            act: Box::new(act),
        })
    }

    /// A handler that works for no time.
    pub(crate) fn quick(tasks: &LocalTasks) -> Arc<Self> {
        Self::new(tasks, |_, _| Behaviour::Work(Duration::ZERO))
    }

    pub(crate) fn handled(&self) -> HashMap<String, usize> {
        self.log.lock().unwrap().handled.clone()
    }

    /// When the handler was called for this execution.
    pub(crate) fn calls(&self, id: &str) -> Vec<Instant> {
        let log = self.log.lock().unwrap();
        let begins = log.steps.iter().filter(|(_, begin, of)| *begin && of == id);
        begins.map(|(time, ..)| *time).collect()
    }

    /// The ids in the order in which their handlers began.
    pub(crate) fn order(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let begins = log.steps.iter().filter(|(_, begin, _)| *begin);
        begins.map(|(.., id)| id.clone()).collect()
    }
}

/// Records the end of a call, also of one that is dropped or panics.
struct Running<'handler>(&'handler RecordingHandler, String);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        let mut log = self.0.log.lock().unwrap();
        log.running -= 1;
        log.steps.push((now, false, self.1.clone()));
    }
}

#[async_trait]
impl Handler for RecordingHandler {
    async fn handle(
        &self,
        completion: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        let id = completion.execution.to_string();
        let calls = {
            let now = self.clock.now();
            let mut log = self.log.lock().unwrap();
            let called = log.called.entry(id.clone()).or_default();
            *called += 1;
            let calls = *called - 1;
            log.steps.push((now, true, id.clone()));
            log.running += 1;
            log.most = log.most.max(log.running);
            calls
        };
        let _running = Running(self, id.clone());
        let handled = match (self.act)(&id, calls) {
            Behaviour::Work(time) => {
                if !time.is_zero() {
                    self.clock.sleep(time).await;
                }
                Handled::Done
            }
            Behaviour::NoOp => Handled::NoOp,
            Behaviour::Fail => return Err("it was to fail".into()),
            Behaviour::Panic => panic_as_meant(),
            Behaviour::Hang => std::future::pending().await,
        };
        *self.log.lock().unwrap().handled.entry(id).or_default() += 1;
        Ok(handled)
    }
}

type Subscribed = Result<CompletionStream, SubscribeError>;

/// A backend that can neither filter nor resume, and subscribes as a function says.
pub(crate) struct PlainBackend(Box<dyn Fn() -> BoxFuture<'static, Subscribed> + Send + Sync>);

impl PlainBackend {
    pub(crate) fn new<F: Future<Output = Subscribed> + Send + 'static>(
        subscribe: impl Fn() -> F + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self(Box::new(move || subscribe().boxed())))
    }

    /// A backend that yields what the function makes of the store's stream.
    pub(crate) fn mapping<S: Stream<Item = StreamItem> + Send + 'static>(
        store: &MemoryStore,
        map: impl Fn(CompletionStream) -> S + Send + Sync + Copy + 'static,
    ) -> Arc<Self> {
        let backend = store.backend();
        Self::new(move || {
            let backend = backend.clone();
            async move {
                let stream = backend.subscribe_completions().await?;
                Ok(CompletionStream::new(map(stream)))
            }
        })
    }
}

impl fmt::Debug for PlainBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl CompletionBackend for PlainBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    async fn subscribe_completions(&self) -> Subscribed {
        (self.0)().await
    }

    async fn subscribe_completions_filtered(&self, _: &Filter) -> Subscribed {
        Err(SubscribeError::CannotFilter)
    }

    async fn subscribe_from(&self, _: &Cursor, _: &Filter) -> Subscribed {
        Err(SubscribeError::NotDurable)
    }
}

/// A listener of the store, running among the tasks.
pub(crate) fn listen(
    tasks: &LocalTasks,
    store: &MemoryStore,
    handler: &Arc<RecordingHandler>,
    settings: ListenerSettings,
) -> ListenerHandle<Std> {
    listen_to(tasks, Arc::new(store.backend()), store, handler, settings)
}

pub(crate) fn listen_to(
    tasks: &LocalTasks,
    backend: Arc<dyn CompletionBackend>,
    store: &MemoryStore,
    handler: &Arc<RecordingHandler>,
    settings: ListenerSettings,
) -> ListenerHandle<Std> {
    let ledger = Arc::new(store.clone());
    let listener = Listener::new(backend, ledger, handler.clone(), tasks.timer());
    start(tasks, listener.with_settings(settings))
}

/// Runs a listener among the tasks.
pub(crate) fn start(tasks: &LocalTasks, listener: Listener) -> ListenerHandle<Std> {
    let (handle, run) = listener.start();
    tasks.spawn(run);
    handle
}

/// Asserts that each of these was handled this often, and nothing else.
#[track_caller]
pub(crate) fn assert_handled(
    handler: &RecordingHandler,
    ids: impl IntoIterator<Item = String>,
    times: usize,
) {
    let expected: HashMap<String, usize> = ids.into_iter().map(|id| (id, times)).collect();
    let mut handled = handler.handled();
    let missing: Vec<_> = expected
        .iter()
        .filter(|(id, times)| handled.remove(*id) != Some(**times))
        .collect();
    assert!(missing.is_empty(), "not handled so often: {missing:?}");
    assert!(handled.is_empty(), "handled unasked: {handled:?}");
}
