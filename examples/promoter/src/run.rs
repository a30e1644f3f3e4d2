//! Running a flow.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::stream::{self, StreamExt};
use midplane::Timer;
use midplane::completions::{
    Attempt, Completion, CompletionBackend, Execution, ExecutionId, Filter, FlowId, Handled,
    Handler, Ledger, Listener, ListenerCounters, ListenerSettings, MemoryStore, Namespace, Outcome,
    ProduceError, Producer,
};

use crate::Plan;

/// The most executions at work at once.
const WORKERS: usize = 32;

/// The pause before a call is repeated that the store did not answer.
const PAUSE: Duration = Duration::from_millis(50);

/// A store of completions: its backend, ledger and producer.
#[derive(Debug, Clone)]
pub struct Store {
    /// The stream of what finished.
    pub backend: Arc<dyn CompletionBackend>,
    /// The record of what was handled.
    pub ledger: Arc<dyn Ledger>,
    /// The calls that start and finish executions.
    pub producer: Arc<dyn Producer>,
}

impl Store {
    /// A store of a backend, and of what is both its ledger and its producer.
    pub fn new<S: Ledger + Producer + Clone + 'static>(
        backend: impl CompletionBackend + 'static,
        store: S,
    ) -> Self {
        Self {
            backend: Arc::new(backend),
            ledger: Arc::new(store.clone()),
            producer: Arc::new(store),
        }
    }
}

impl From<MemoryStore> for Store {
    fn from(store: MemoryStore) -> Self {
        Self::new(store.backend(), store)
    }
}

/// The progress of an execution, for an observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The execution was started.
    Started(usize),
    /// The execution finished, and its completion was handled.
    Finished(usize, Outcome),
}

/// A flow that is to be run.
pub struct Run {
    name: String,
    plan: Plan,
    store: Store,
    timer: Arc<dyn Timer>,
    settings: ListenerSettings,
    work: Duration,
    observer: Box<dyn Fn(Progress) + Send + Sync>,
}

/// A flow that was run.
#[derive(Debug, Clone)]
pub struct Done {
    /// How long the flow took.
    pub elapsed: Duration,
    /// How each execution ended.
    pub outcomes: Vec<Outcome>,
    /// How each had to end.
    pub expected: Vec<Outcome>,
    /// The counters of the listener.
    pub counters: ListenerCounters,
}

impl Done {
    /// Whether every execution ended as it had to.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.outcomes == self.expected
    }
}

impl Run {
    /// A flow of this name, which is new to the store, or of which the store has some: how far it came is in the store.
    #[must_use]
    pub fn new(name: impl Into<String>, plan: Plan, store: Store, timer: Arc<dyn Timer>) -> Self {
        Self {
            name: name.into(),
            plan,
            store,
            timer,
            settings: ListenerSettings::default(),
            work: Duration::ZERO,
            observer: Box::new(drop),
        }
    }

    /// Sets the settings of the listener.
    #[must_use]
    pub fn with_settings(mut self, settings: ListenerSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Has each execution take this long.
    #[must_use]
    pub fn with_work(mut self, work: Duration) -> Self {
        self.work = work;
        self
    }

    /// Calls this function with every step. The function must not block.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Runs the flow to its end, however long the store is away, from where another run of it stopped, if one did. The
    /// task that polls the future does the work.
    ///
    /// # Panics
    /// When the name is empty, or so long that the ids of its executions would not be ids.
    pub async fn finish(self) -> Done {
        let begun = self.timer.now();
        let expected = self.plan.outcomes();
        let (ready, promoted) = mpsc::unbounded();
        let (tell, over) = oneshot::channel();
        // A flow has its own part of the store: other flows have listeners of their own.
        let namespace = Namespace::new(&self.name).expect("the name of a flow is an id");
        let promoter = Arc::new(Promoter {
            ids: (0..self.plan.len())
                .map(|number| id(&self.name, number))
                .collect(),
            numbers: (0..self.plan.len())
                .map(|number| (id(&self.name, number), number))
                .collect(),
            flow: FlowId::new(&self.name).expect("the name of a flow is an id"),
            namespace: namespace.clone(),
            state: Mutex::new(FlowState {
                outcomes: vec![None; self.plan.len()],
                promoted: vec![false; self.plan.len()],
                left: self.plan.len(),
                tell: Some(tell),
            }),
            plan: self.plan,
            producer: Arc::clone(&self.store.producer),
            ready,
            observer: self.observer,
        });
        let listener = Listener::new(
            self.store.backend,
            self.store.ledger,
            promoter.clone(),
            Arc::clone(&self.timer),
        );
        let (handle, listening) = listener
            .with_filter(Filter::all().with_namespace(namespace))
            .with_settings(self.settings)
            .start();
        let working = promoted.for_each_concurrent(WORKERS, |number| {
            let (promoter, timer) = (Arc::clone(&promoter), Arc::clone(&self.timer));
            work(promoter, timer, number, self.work)
        });
        let script = async {
            promoter.recover(&*self.timer).await;
            for number in 0..promoter.plan.len() {
                insist(&*self.timer, || promoter.promote_if_free(number)).await;
            }
            if promoter.state().left > 0 {
                // The sender is in the promoter, which lives.
                let _ = over.await;
            }
            // What finished last is recorded as handled, too.
            handle.reconcile().await;
        };
        let background = futures::future::join(listening, working);
        match select(pin!(script), pin!(background)).await {
            Either::Left(_) => {}
            Either::Right(_) => {
                unreachable!("a listener ends when it is closed, and this one is not")
            }
        }
        let state = promoter.state();
        Done {
            elapsed: self.timer.now() - begun,
            outcomes: state.outcomes.iter().flatten().cloned().collect(),
            expected,
            counters: handle.counters(),
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("name", &self.name)
            .field("executions", &self.plan.len())
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::expect_used,
    reason = "documented: the name of a flow leaves room"
)]
fn id(flow: &str, number: usize) -> ExecutionId {
    ExecutionId::new(format!("{flow}/{number}")).expect("the name of a flow leaves room")
}

/// Runs an execution, which takes its time and ends as the plan says.
async fn work(promoter: Arc<Promoter>, timer: Arc<dyn Timer>, number: usize, time: Duration) {
    if !time.is_zero() {
        timer.sleep(time).await;
    }
    let (id, outcome) = (&promoter.ids[number], promoter.plan.work(number));
    insist(&*timer, || promoter.producer.finish(id, &outcome, None)).await;
}

/// Repeats the call until the store answers.
async fn insist<T, F: Future<Output = Result<T, ProduceError>>>(
    timer: &dyn Timer,
    mut call: impl FnMut() -> F,
) {
    while call().await.is_err() {
        timer.sleep(PAUSE).await;
    }
}

/// The handler: an execution that finishes promotes those that waited for it.
struct Promoter {
    plan: Plan,
    flow: FlowId,
    namespace: Namespace,
    ids: Vec<ExecutionId>,
    numbers: HashMap<ExecutionId, usize>,
    producer: Arc<dyn Producer>,
    ready: mpsc::UnboundedSender<usize>,
    observer: Box<dyn Fn(Progress) + Send + Sync>,
    state: Mutex<FlowState>,
}

struct FlowState {
    outcomes: Vec<Option<Outcome>>,
    promoted: Vec<bool>,
    /// How many have not finished.
    left: usize,
    /// Sent when nothing is left.
    tell: Option<oneshot::Sender<()>>,
}

impl Promoter {
    fn state(&self) -> MutexGuard<'_, FlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn execution(&self, number: usize) -> Execution {
        Execution::new(self.ids[number].clone())
            .with_flow(self.flow.clone())
            .with_namespace(self.namespace.clone())
    }

    /// Starts every execution of the flow in the store, which says of those that are finished how they ended.
    async fn recover(&self, timer: &dyn Timer) {
        let numbers = stream::iter(0..self.plan.len());
        let asked = numbers.map(|number| async move {
            let execution = self.execution(number);
            loop {
                match self.producer.start(&execution).await {
                    Ok(_) => return (number, None),
                    Err(ProduceError::Illegal { finished, .. }) => return (number, Some(finished)),
                    Err(_) => timer.sleep(PAUSE).await,
                }
            }
        });
        let mut asked = std::pin::pin!(asked.buffer_unordered(WORKERS));
        while let Some((number, outcome)) = asked.next().await {
            if let Some(outcome) = outcome {
                self.finished(number, outcome);
            }
        }
    }

    /// Records how an execution ended. False where that was known.
    fn finished(&self, number: usize, outcome: Outcome) -> bool {
        {
            let mut state = self.state();
            if state.outcomes[number].is_some() {
                return false;
            }
            state.outcomes[number] = Some(outcome.clone());
            state.promoted[number] = true;
            state.left -= 1;
            if state.left == 0
                && let Some(tell) = state.tell.take()
            {
                // Nobody waits for a run that was dropped.
                let _ = tell.send(());
            }
        }
        (self.observer)(Progress::Finished(number, outcome));
        true
    }

    /// Runs an execution whose needs succeeded, and skips one whose needs did not. A second call changes nothing.
    async fn promote_if_free(&self, number: usize) -> Result<(), ProduceError> {
        let runs = {
            let state = self.state();
            let mut needs = self.plan.needs(number).iter();
            if state.promoted[number] || needs.any(|need| state.outcomes[*need].is_none()) {
                return Ok(());
            }
            let mut needs = self.plan.needs(number).iter();
            needs.all(|need| state.outcomes[*need] == Some(Outcome::Success))
        };
        if !runs {
            self.producer.skip(&self.ids[number], None).await?;
        }
        if std::mem::replace(&mut self.state().promoted[number], true) {
            return Ok(());
        }
        (self.observer)(Progress::Started(number));
        if runs {
            // The workers live as long as the run; without it nothing has to be run.
            let _ = self.ready.unbounded_send(number);
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Promoter {
    async fn handle(
        &self,
        completion: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        let Some(&number) = self.numbers.get(&completion.execution) else {
            return Err("no execution of this flow has this id".into());
        };
        let first = self.finished(number, completion.outcome.clone());
        for waiting in self.plan.needed(number) {
            // What fails here comes again, and finds everything as it was.
            self.promote_if_free(*waiting).await?;
        }
        Ok(match first {
            true => Handled::Done,
            false => Handled::NoOp,
        })
    }
}
