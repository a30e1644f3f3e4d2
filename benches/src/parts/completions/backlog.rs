//! A backlog that finished before anybody listened, drained by one listener and by four.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use midplane::completions::{Attempt, Completion, Handled, Handler, ListenerCounters, Scan};
use midplane_testkit::server::Server;

use super::stores::{DURABLE, FSYNC, Result, Store, in_postgres, in_redis};
use super::tax::client;
use super::{Listening, finished, runtime, started};
use crate::report::{Goal, Report, short};

/// The executions of a backlog.
const BACKLOG: usize = 100_000;

/// Executions of one transaction, where a backlog is filled with SQL.
const TOGETHER: usize = 1_000;

/// How many listeners there are, and how long each handler takes.
const CASES: [(usize, Duration); 4] = [
    (1, Duration::ZERO),
    (4, Duration::ZERO),
    (1, WORK),
    (4, WORK),
];

/// What a handler that has something to do takes: with 32 at once, one listener handles 6,400 a second at most.
const WORK: Duration = Duration::from_millis(5);

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let runtime = runtime()?;
    // What a store leaves running ends on the runtime.
    let _inside = runtime.enter();
    report.say(format!(
        "{BACKLOG} executions that finished before anybody listened, until the last of them is recorded as handled: by one \
         listener and by four, each with connections of its own, and handlers that do nothing, or take {} ms. Each case has \
         a new server.",
        WORK.as_millis()
    ));
    let mut rows = Vec::new();
    for kind in [Durable::Redis, Durable::Postgres] {
        let mut drained = Vec::new();
        for (listeners, work) in CASES {
            report.progress(format!(
                "{}, listeners: {listeners}, handlers of {} ms",
                kind.name(),
                work.as_millis()
            ));
            let case = runtime.block_on(drain(kind, listeners, work));
            let case = case.map_err(io::Error::other)?;
            report.progress(format!("drained in {:.2} s", case.seconds));
            rows.push(case.row(kind, listeners, work));
            drained.push(case.seconds);
        }
        let figure = format!("{}, by 1 listener", kind.name());
        report.goal(Goal::new(figure, drained[0], "s").at_most(20.0));
        for (one, four, what) in [(0, 1, "that do nothing"), (2, 3, "with work")] {
            let figure = format!("{}, by 4 listeners, handlers {what}", kind.name());
            let goal = Goal::new(figure, drained[four], "s");
            let ratio = drained[four] / drained[one];
            report.goal(goal.ratio_at_most(ratio, 1.0, "1 listener"));
        }
    }
    let header = ["", "a handler takes", "s", "handled/s", "looks", "in vain"];
    report.table(&header, &rows);
    Ok(())
}

/// A store that keeps what it answered.
#[derive(Clone, Copy)]
enum Durable {
    Redis,
    Postgres,
}

impl Durable {
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis, appendfsync always",
            Self::Postgres => "Postgres, fsync on",
        }
    }

    fn start(self) -> Arc<Server> {
        Arc::new(match self {
            Self::Redis => Server::redis_with(&DURABLE),
            Self::Postgres => Server::postgres_with(&FSYNC),
        })
    }

    async fn open(self, server: &Arc<Server>) -> Result<Store> {
        match self {
            Self::Redis => in_redis(self.name(), BACKLOG, server).await,
            Self::Postgres => in_postgres(self.name(), BACKLOG, server).await,
        }
    }

    /// Starts and finishes the executions of a backlog.
    async fn fill(self, server: &Server, store: &Store) -> Result<()> {
        match self {
            Self::Redis => finished(store, &started(store, BACKLOG).await?).await,
            Self::Postgres => {
                let sql = client(&server.url()).await?;
                let statement = "SELECT midplane.start(id), midplane.complete(id, 'what it made')
                    FROM (
                        SELECT 'backlog ' || number AS id
                        FROM generate_series($1::bigint, $2::bigint) AS number
                    ) AS jobs";
                let statement = sql.prepare(statement).await?;
                for first in (0..BACKLOG as i64).step_by(TOGETHER) {
                    let last = first + TOGETHER as i64 - 1;
                    sql.query(&statement, &[&first, &last]).await?;
                }
                Ok(())
            }
        }
    }
}

/// How a backlog was drained.
struct Drain {
    seconds: f64,
    counters: Vec<ListenerCounters>,
}

impl Drain {
    fn sum(&self, count: fn(&ListenerCounters) -> u64) -> u64 {
        self.counters.iter().map(count).sum()
    }

    fn row(&self, kind: Durable, listeners: usize, work: Duration) -> Vec<String> {
        let vain = self.sum(|counters| counters.vain);
        let looks = self.sum(|counters| counters.fruitful) + vain;
        vec![
            format!("{}, listeners: {listeners}", kind.name()),
            format!("{} ms", work.as_millis()),
            format!("{:.2}", self.seconds),
            short(BACKLOG as f64 / self.seconds),
            looks.to_string(),
            vain.to_string(),
        ]
    }
}

async fn drain(kind: Durable, listeners: usize, work: Duration) -> Result<Drain> {
    let server = kind.start();
    let store = kind.open(&server).await?;
    kind.fill(&server, &store).await?;
    let mut stores = Vec::new();
    for _ in 0..listeners {
        stores.push(kind.open(&server).await?);
    }
    let handler = Arc::new(Work {
        takes: work,
        handled: AtomicUsize::new(0),
    });
    let begun = Instant::now();
    let listening: Vec<_> = stores
        .iter()
        .map(|store| Listening::begin(store, handler.clone()))
        .collect();
    while handler.handled.load(Ordering::Relaxed) < BACKLOG {
        // Nothing announces the last one to others. A millisecond is little of a turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut counters = Vec::new();
    for listening in listening {
        counters.push(listening.handle.counters());
        listening.stop().await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let left = store.ledger.scan(&Scan::new(1)).await?.completions.len();
    let handled = handler.handled.load(Ordering::Relaxed);
    if left > 0 || handled != BACKLOG {
        return Err(
            format!("{handled} of {BACKLOG} were handled, and {left} or more are left").into(),
        );
    }
    Ok(Drain { seconds, counters })
}

/// A handler that takes its time.
struct Work {
    takes: Duration,
    handled: AtomicUsize,
}

#[async_trait]
impl Handler for Work {
    async fn handle(&self, _: &Completion, _: &Attempt) -> Result<Handled> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        self.handled.fetch_add(1, Ordering::Relaxed);
        Ok(Handled::Done)
    }
}
