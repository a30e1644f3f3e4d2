//! The speed of completions from the call that finishes to the handler, through each store.

pub(crate) mod backlog;
mod stores;
mod tax;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use benches::Quantiles;
use futures::StreamExt;
use midplane::completions::{
    Attempt, Completion, Execution, ExecutionId, Filter, Handled, Handler, Listener,
    ListenerHandle, Outcome, Settled, StreamItem, Take, Verdict,
};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::race::{Race, race};
use crate::report::{Goal, Report};
use stores::{Result, Store};

/// The turns of each store.
const ROUNDS: usize = 5;

/// Calls of producers that are under way at any time.
const PRODUCERS: usize = 64;

/// Executions that finish one at a time, for the latency, in each round.
const SINGLES: usize = 200;

/// What stores and listeners run on.
fn runtime() -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build()
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let runtime = runtime()?;
    // What a store leaves running ends on the runtime.
    let _inside = runtime.enter();
    let stores = runtime.block_on(stores::open()).map_err(io::Error::other)?;
    let mut stores: Vec<_> = stores
        .into_iter()
        .map(|store| (store.name, store))
        .collect();
    let race = race(&mut stores, ROUNDS, |store| {
        report.progress(store.name);
        runtime.block_on(turn(store)).map_err(io::Error::other)
    })?;
    drop(stores);
    write(report, &race);
    tax::run(report, &runtime)
}

/// What a turn of a store measured.
struct Turn {
    /// Completions per second.
    finished: f64,
    streamed: f64,
    caught_up: f64,
    handled: f64,
    singles: Singles,
}

/// Seconds of executions that finish one at a time.
#[derive(Default)]
struct Singles {
    /// The calls that finish.
    calls: Vec<f64>,
    /// From the beginning of the call to the handler.
    handlers: Vec<f64>,
}

async fn turn(store: &Store) -> Result<Turn> {
    Ok(Turn {
        finished: finish(store).await?,
        streamed: stream(store).await?,
        caught_up: catch_up(store).await?,
        handled: handle(store).await?,
        singles: singles(store).await?,
    })
}

fn write(report: &mut Report, race: &Race<Turn>) {
    report.say(format!(
        "Completions per second, by {PRODUCERS} calls at once, of executions that were started before: \
         finished, without a listener; finished and arrived at a stream; read by a stream that resumes behind all of \
         them; finished, arrived, claimed, handled by \
         a handler that does nothing, and recorded so in the ledger, until the last of them."
    ));
    let finished = race.most(|turn| turn.finished);
    let streamed = race.most(|turn| turn.streamed);
    let caught_up = race.most(|turn| turn.caught_up);
    let handled = race.most(|turn| turn.handled);
    report.columns(
        finished.names(),
        &[
            ("finished/s", &finished.short()),
            ("to a stream/s", &streamed.short()),
            ("caught up/s", &caught_up.short()),
            ("handled/s", &handled.short()),
        ],
    );
    report.say(
        "One at a time, in microseconds: the call that finishes, and from its beginning to the handler, which \
         includes the commit, the wake-up, the read and the claim. A handler may run before the call returns.",
    );
    let mut rows = Vec::new();
    for (name, turns) in race.turns() {
        let singles = || turns.iter().map(|turn| &turn.singles);
        let calls = Quantiles::new(singles().flat_map(|singles| singles.calls.clone()));
        let handlers = Quantiles::new(singles().flat_map(|singles| singles.handlers.clone()));
        let micros = |seconds: f64| format!("{:.0}", seconds * 1e6);
        rows.push(vec![
            name.to_owned(),
            micros(calls.at(0.5)),
            micros(calls.at(0.99)),
            micros(handlers.at(0.5)),
            micros(handlers.at(0.99)),
        ]);
        // A poll comes after a second: what is well below a second was woken.
        let figure = format!("{name}, p99 to the handler");
        let goal = Goal::new(figure, handlers.at(0.99) * 1e3, "ms");
        report.goal(goal.at_most(50.0));
    }
    let header = ["", "call p50", "p99", "to the handler p50", "p99"];
    report.table(&header, &rows);
}

/// Ids that were never used.
fn fresh(count: usize) -> Result<Vec<ExecutionId>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = |_| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        ExecutionId::new(format!("job {number:09}")).map_err(Into::into)
    };
    (0..count).map(id).collect()
}

/// Starts executions.
async fn started(store: &Store, count: usize) -> Result<Vec<ExecutionId>> {
    let ids = fresh(count)?;
    each(&ids, store, |store, id| async move {
        store.producer.start(&Execution::new(id)).await?;
        Ok(())
    })
    .await?;
    Ok(ids)
}

/// Finishes these executions, by [`PRODUCERS`] calls at once.
async fn finished(store: &Store, ids: &[ExecutionId]) -> Result<()> {
    each(ids, store, |store, id| async move {
        let bytes = Some("what it made".into());
        store.producer.finish(&id, &Outcome::Success, bytes).await?;
        Ok(())
    })
    .await
}

async fn each<F, C>(ids: &[ExecutionId], store: &Store, call: C) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
    C: Fn(Store, ExecutionId) -> F + Send + Sync + Copy + 'static,
{
    let ids: Arc<[ExecutionId]> = ids.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..PRODUCERS {
        let (ids, next, store) = (Arc::clone(&ids), Arc::clone(&next), store.clone());
        tasks.spawn(async move {
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                call(store.clone(), id.clone()).await?;
            }
            Result::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

fn per_second(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

/// Without a listener. What is left unhandled is settled after the measurement.
async fn finish(store: &Store) -> Result<f64> {
    let ids = started(store, store.count).await?;
    let start = Instant::now();
    finished(store, &ids).await?;
    let speed = per_second(ids.len(), start);
    settle(store, &ids).await?;
    Ok(speed)
}

/// To a stream, which does not claim.
async fn stream(store: &Store) -> Result<f64> {
    let ids = started(store, store.count).await?;
    let mut stream = store.backend.subscribe_completions().await?;
    let start = Instant::now();
    let arrive = async {
        for _ in 0..ids.len() {
            while !matches!(stream.next().await, Some(StreamItem::Completion(_))) {}
        }
        Result::Ok(())
    };
    futures::try_join!(finished(store, &ids), arrive)?;
    let speed = per_second(ids.len(), start);
    settle(store, &ids).await?;
    Ok(speed)
}

/// To a stream that resumes behind all of them.
async fn catch_up(store: &Store) -> Result<f64> {
    let first = started(store, 1).await?;
    let mut stream = store.backend.subscribe_completions().await?;
    finished(store, &first).await?;
    let cursor = loop {
        if let Some(StreamItem::Completion(completion)) = stream.next().await {
            break completion.cursor.ok_or("the store keeps no history")?;
        }
    };
    drop(stream);
    let ids = started(store, store.count).await?;
    finished(store, &ids).await?;
    let start = Instant::now();
    let all = Filter::all();
    let mut stream = store.backend.subscribe_from(&cursor, &all).await?;
    for _ in 0..ids.len() {
        while !matches!(stream.next().await, Some(StreamItem::Completion(_))) {}
    }
    let speed = per_second(ids.len(), start);
    settle(store, &[first, ids].concat()).await?;
    Ok(speed)
}

/// Records these as handled.
async fn settle(store: &Store, ids: &[ExecutionId]) -> Result<()> {
    let mut left = ids.len();
    while left > 0 {
        let taken = store
            .ledger
            .take(&Take::new(500), Duration::from_secs(60))
            .await?;
        left = left.saturating_sub(taken.work.len());
        let settled = taken.work.into_iter().map(|(_, claim)| Settled {
            claim,
            verdict: Verdict::Handled,
        });
        store.ledger.settle(&settled.collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// To a handler.
async fn handle(store: &Store) -> Result<f64> {
    let ids = started(store, store.count).await?;
    let work = Arc::new(Work::default());
    let listening = Listening::start(store, &work).await;
    let start = Instant::now();
    finished(store, &ids).await?;
    while listening.handle.counters().done < ids.len() as u64 {
        // The count follows the handler's call, and nothing announces it. A millisecond is little of a turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let speed = per_second(ids.len(), start);
    listening.stop().await?;
    Ok(speed)
}

/// One at a time, to a listener that is idle.
async fn singles(store: &Store) -> Result<Singles> {
    let mut found = Singles::default();
    let ids = started(store, SINGLES).await?;
    let work = Arc::new(Work::default());
    let listening = Listening::start(store, &work).await;
    for id in &ids {
        let start = Instant::now();
        store.producer.finish(id, &Outcome::Success, None).await?;
        found.calls.push(start.elapsed().as_secs_f64());
        let at = loop {
            if let Some(at) = work.at(id) {
                break at;
            }
            work.more.notified().await;
        };
        found.handlers.push((at - start).as_secs_f64());
        // The listener is idle once it has recorded that; the next execution begins from there.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    listening.stop().await?;
    Ok(found)
}

/// A handler that records when it was called.
#[derive(Default)]
struct Work {
    handled: Mutex<HashMap<ExecutionId, Instant>>,
    more: Notify,
}

impl Work {
    fn at(&self, id: &ExecutionId) -> Option<Instant> {
        let handled = self.handled.lock();
        handled
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .copied()
    }
}

#[async_trait]
impl Handler for Work {
    async fn handle(&self, completion: &Completion, _: &Attempt) -> Result<Handled> {
        let now = Instant::now();
        let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        handled.insert(completion.execution.clone(), now);
        self.more.notify_one();
        Ok(Handled::Done)
    }
}

/// A listener that runs.
struct Listening {
    handle: ListenerHandle<midplane::Std>,
    task: JoinHandle<()>,
}

impl Listening {
    /// A listener that subscribes while its first look is under way.
    fn begin(store: &Store, handler: Arc<dyn Handler>) -> Self {
        let timer = Arc::new(midplane::tokio::Timer::new());
        let (backend, ledger) = (Arc::clone(&store.backend), Arc::clone(&store.ledger));
        let (handle, running) = Listener::new(backend, ledger, handler, timer).start();
        let task = tokio::spawn(running);
        Self { handle, task }
    }

    /// A listener that is subscribed.
    async fn start(store: &Store, work: &Arc<Work>) -> Self {
        let listening = Self::begin(store, Arc::clone(work) as Arc<dyn Handler>);
        while listening.handle.counters().subscribed == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        listening
    }

    async fn stop(self) -> Result<()> {
        self.handle.close(Duration::from_secs(10)).await;
        Ok(self.task.await?)
    }
}
