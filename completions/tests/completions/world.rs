//! A store, a listener and a handler that writes down what it does.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use midplane::completions::{
    Completion, CompletionBackend, Execution, ExecutionId, FlowId, Handled, Handler, Listener,
    ListenerHandle, ListenerSettings, MemoryStore, Outcome, Producer,
};
use midplane::{Instant, Std, Timer};

use crate::meant::panic_as_meant;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::local::LocalTasks;

pub(crate) fn execution(id: impl AsRef<str>) -> ExecutionId {
    ExecutionId::new(id).unwrap()
}

/// The store of a world.
pub(crate) fn store(world: &LocalTasks) -> MemoryStore {
    MemoryStore::new(world.timer())
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

/// What a handler does with an execution.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Work(Duration),
    NoOp,
    Fail,
    Panic,
    Hang,
}

/// What was done, and when.
#[derive(Default)]
pub(crate) struct Log {
    /// How often the handler was called for each.
    called: HashMap<String, usize>,
    /// Begins and ends, in order.
    pub(crate) steps: Vec<(Instant, bool, String)>,
    pub(crate) running: usize,
    pub(crate) most: usize,
    /// How often each was handled to its end.
    pub(crate) handled: HashMap<String, usize>,
}

type Acting = dyn Fn(&str, usize) -> Act + Send + Sync;

/// A handler that does to each execution what the function says, given how often it was called for it.
pub(crate) struct Scribe {
    clock: VirtualClock,
    pub(crate) log: Mutex<Log>,
    act: Box<Acting>,
}

impl Scribe {
    pub(crate) fn new(
        world: &LocalTasks,
        act: impl Fn(&str, usize) -> Act + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: world.clock(),
            log: Mutex::default(),
            act: Box::new(act),
        })
    }

    /// One that works for no time.
    pub(crate) fn quick(world: &LocalTasks) -> Arc<Self> {
        Self::new(world, |_, _| Act::Work(Duration::ZERO))
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

/// Notes the end of a call, also of one that is dropped or panics.
struct Running<'scribe>(&'scribe Scribe, String);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        let mut log = self.0.log.lock().unwrap();
        log.running -= 1;
        log.steps.push((now, false, self.1.clone()));
    }
}

#[async_trait]
impl Handler for Scribe {
    async fn handle(
        &self,
        completion: &Completion,
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
            Act::Work(time) => {
                if !time.is_zero() {
                    self.clock.sleep(time).await;
                }
                Handled::Done
            }
            Act::NoOp => Handled::NoOp,
            Act::Fail => return Err("it was to fail".into()),
            Act::Panic => panic_as_meant(),
            Act::Hang => std::future::pending().await,
        };
        *self.log.lock().unwrap().handled.entry(id).or_default() += 1;
        Ok(handled)
    }
}

/// A listener of the store, running in the world.
pub(crate) fn listen(
    world: &LocalTasks,
    store: &MemoryStore,
    scribe: &Arc<Scribe>,
    settings: ListenerSettings,
) -> ListenerHandle<Std> {
    listen_to(world, Arc::new(store.backend()), store, scribe, settings)
}

pub(crate) fn listen_to(
    world: &LocalTasks,
    backend: Arc<dyn CompletionBackend>,
    store: &MemoryStore,
    scribe: &Arc<Scribe>,
    settings: ListenerSettings,
) -> ListenerHandle<Std> {
    let ledger = Arc::new(store.clone());
    let listener = Listener::new(backend, ledger, scribe.clone(), world.timer());
    let (handle, run) = listener.with_settings(settings).start();
    world.spawn(run);
    handle
}

/// That each of these was handled this often, and nothing else.
#[track_caller]
pub(crate) fn assert_handled(scribe: &Scribe, ids: impl IntoIterator<Item = String>, times: usize) {
    let expected: HashMap<String, usize> = ids.into_iter().map(|id| (id, times)).collect();
    let mut handled = scribe.handled();
    let missing: Vec<_> = expected
        .iter()
        .filter(|(id, times)| handled.remove(*id) != Some(**times))
        .collect();
    assert!(missing.is_empty(), "not handled so often: {missing:?}");
    assert!(handled.is_empty(), "handled unasked: {handled:?}");
}
