//! A listener at work while something fails, and the judgement on what was handled.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, join, select};
use futures_timer::Delay;
use midplane::Backoff;
use midplane::completions::{
    Attempt, Capabilities, Completion, CompletionBackend, CompletionStream, Cursor, Execution,
    ExecutionId, Filter, Handled, Handler, Listener, ListenerCounters, ListenerSettings, Outcome,
    ProduceError, SubscribeError,
};

use midplane_testkit::wait::pause;
use midplane_testkit::{eventually, within};

use crate::fixture::{Fixture, Transaction};
use crate::script::execution;

/// The pause of a producer before it asks again after no answer.
const PAUSE: Duration = Duration::from_millis(20);

/// What the producer knows of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not decided yet.
    Open,
    Committed,
    RolledBack,
}

/// Records what was committed, what was rolled back and what was handled, and judges that.
///
/// The oracle is the [`Handler`] of the listener under trial.
#[derive(Default)]
pub struct TrialOracle {
    state: Mutex<TrialState>,
}

#[derive(Default)]
struct TrialState {
    fates: HashMap<ExecutionId, Fate>,
    committed: usize,
    handled: HashMap<ExecutionId, usize>,
    wrong: Vec<String>,
}

impl TrialOracle {
    fn state(&self) -> MutexGuard<'_, TrialState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, execution: &ExecutionId, fate: Fate) {
        let mut state = self.state();
        state.committed += usize::from(fate == Fate::Committed);
        state.fates.insert(execution.clone(), fate);
    }

    /// How many executions are committed for certain.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.state().committed
    }

    /// How many different executions were handled.
    #[must_use]
    pub fn handled(&self) -> usize {
        self.state().handled.len()
    }

    /// Resolves when this many executions are committed. Each ten of them must be within
    /// [patience](midplane_testkit::patience): a machine may be slow, and there are many.
    pub async fn reaches(&self, committed: usize) {
        while self.committed() < committed {
            let next = committed.min(self.committed() + 10);
            let what = format!("{next} executions are committed");
            eventually(&what, || self.committed() >= next).await;
        }
    }

    /// Whether every committed execution was handled.
    fn complete(&self) -> bool {
        let state = self.state();
        let mut committed = state
            .fates
            .iter()
            .filter(|(_, fate)| **fate == Fate::Committed);
        committed.all(|(execution, _)| state.handled.contains_key(execution))
    }

    /// How many times a handled execution was handled again.
    ///
    /// # Panics
    /// Unless every committed execution was handled, and none that was rolled back.
    fn judge(&self) -> usize {
        let state = self.state();
        let mut missing = 0;
        let mut wrong = state.wrong.clone();
        for (execution, fate) in &state.fates {
            let handled = state.handled.contains_key(execution);
            match fate {
                Fate::Committed => missing += usize::from(!handled),
                Fate::Open | Fate::RolledBack if handled => {
                    wrong.push(format!("{execution} was rolled back and handled"));
                }
                _ => {}
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(missing, 0, "committed and never handled");
        state.handled.values().map(|times| times - 1).sum()
    }
}

impl fmt::Debug for TrialOracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrialOracle")
            .field("committed", &self.committed())
            .field("handled", &self.handled())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Handler for TrialOracle {
    async fn handle(
        &self,
        completion: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        let mut state = self.state();
        let execution = &completion.execution;
        if !state.fates.contains_key(execution) {
            state.wrong.push(format!("{execution} was never begun"));
        }
        if completion.bytes != Some(payload(execution)) {
            state.wrong.push(format!("{execution} has other bytes"));
        }
        *state.handled.entry(execution.clone()).or_default() += 1;
        Ok(Handled::Done)
    }
}

/// The bytes an execution finishes with, equal for each ten of them.
fn payload(execution: &ExecutionId) -> Bytes {
    let text = execution.as_str();
    Bytes::copy_from_slice(&text.as_bytes()[..text.len() - 1])
}

/// What a trial counted.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TrialReport {
    /// Executions that were committed.
    pub committed: usize,
    /// How many times a handled execution was handled again.
    pub repeated: usize,
    /// What the listener counted.
    pub counters: ListenerCounters,
}

/// A backend whose stream never yields, which leaves all work to the reconciler.
#[derive(Debug)]
pub struct SilentBackend;

#[async_trait]
impl CompletionBackend for SilentBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError> {
        Ok(CompletionStream::new(futures::stream::pending()))
    }

    async fn subscribe_completions_filtered(
        &self,
        _: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        Err(SubscribeError::CannotFilter)
    }

    async fn subscribe_from(
        &self,
        _: &Cursor,
        _: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        Err(SubscribeError::NotDurable)
    }
}

/// Runs a listener and producers of this many executions on the store, and a fault meanwhile, which gets the
/// oracle to follow the progress. When the fault is over and [patience](midplane_testkit::patience) has passed at most,
/// every committed completion must have been handled, and none that was rolled back.
///
/// Where the store has transactions, some executions are rolled back, some commit late, behind others that
/// began after them, and some share a transaction with others of the same payload. Producers that get no
/// answer ask again.
///
/// # Panics
/// When the store broke a promise.
pub async fn trial<F: Future<Output = ()>>(
    fixture: &Arc<dyn Fixture>,
    executions: usize,
    fault: impl FnOnce(Arc<TrialOracle>) -> F,
) -> TrialReport {
    trial_on(fixture.backend(), fixture, executions, fault).await
}

/// Runs a [`trial`] with the listener on another backend than the store's, such as [`SilentBackend`].
///
/// # Panics
/// When the store broke a promise.
pub async fn trial_on<F: Future<Output = ()>>(
    backend: Arc<dyn CompletionBackend>,
    fixture: &Arc<dyn Fixture>,
    executions: usize,
    fault: impl FnOnce(Arc<TrialOracle>) -> F,
) -> TrialReport {
    let oracle = Arc::new(TrialOracle::default());
    let mut settings = ListenerSettings::default();
    settings.interval = Duration::from_millis(500);
    settings.lease = Duration::from_secs(5);
    settings.deadline = Duration::from_secs(2);
    settings.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
    let timer = Arc::new(midplane::threads::Timer::new());
    let listener = Listener::new(backend, fixture.ledger(), oracle.clone(), timer);
    let (handle, running) = listener.with_settings(settings).start();
    let script = async {
        let fault = fault(Arc::clone(&oracle));
        join(produce(fixture, &oracle, executions), fault).await;
        eventually("everything committed is handled", || oracle.complete()).await;
    };
    match select(running, pin!(script)).await {
        Either::Left(_) => panic!("the listener ended"),
        Either::Right(_) => {}
    }
    TrialReport {
        committed: oracle.committed(),
        repeated: oracle.judge(),
        counters: handle.counters(),
    }
}

/// Starts and finishes this many executions, and records them with the oracle.
async fn produce(fixture: &Arc<dyn Fixture>, oracle: &TrialOracle, executions: usize) {
    let producer = fixture.producer();
    let ids: Vec<_> = (0..executions)
        .map(|number| execution(format!("trial {number:06}")))
        .collect();
    for group in ids.chunks(10) {
        for execution in group {
            oracle.fate(execution, Fate::Open);
            let started = Execution::new(execution.clone());
            insist(|| producer.start(&started)).await;
        }
        let finish = async |execution: &ExecutionId| {
            let bytes = payload(execution);
            insist(|| producer.finish(execution, &Outcome::Success, Some(bytes.clone()))).await;
            oracle.fate(execution, Fate::Committed);
        };
        let (alone, together) = group.split_at(group.len().min(4));
        let (late, undone) = together.split_at(together.len().min(3));
        // Those of `late` have their numbers before those of `alone`, and commit after them.
        let mut kept = begun(fixture, late).await;
        let dropped = begun(fixture, undone).await;
        for execution in alone {
            finish(execution).await;
        }
        if let Some(transaction) = dropped {
            within("rolling back", transaction.rollback()).await;
            for execution in undone {
                oracle.fate(execution, Fate::RolledBack);
            }
        } else {
            for execution in undone {
                finish(execution).await;
            }
        }
        if let Some(transaction) = kept.take() {
            // Committed or not, the executions are finished by the calls below.
            let _ = within("committing", transaction.commit()).await;
        }
        for execution in late {
            finish(execution).await;
        }
        // A store that never waits would leave the fault no time.
        pause().await;
    }
}

/// A transaction that finished these executions, if the store has transactions and answered.
async fn begun(
    fixture: &Arc<dyn Fixture>,
    executions: &[ExecutionId],
) -> Option<Box<dyn Transaction>> {
    let mut transaction = within("beginning", fixture.begin()).await?;
    for execution in executions {
        let bytes = Some(payload(execution));
        let finished = transaction.finish(execution, &Outcome::Success, bytes);
        // A transaction that failed is undone by the store; the rollback follows nevertheless.
        if within("finishing", finished).await.is_err() {
            break;
        }
    }
    Some(transaction)
}

/// Repeats the call until the store answers.
async fn insist<T, F: Future<Output = Result<T, ProduceError>>>(mut call: impl FnMut() -> F) -> T {
    within("a producer is answered", async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(ProduceError::Backend(_)) => Delay::new(PAUSE).await,
                Err(error) => panic!("a producer was refused: {error}"),
            }
        }
    })
    .await
}
