//! The price of waking listeners, paid by commits in Postgres.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use midplane::completions::{CompletionBackend, CompletionStream};
use midplane_postgres::PostgresStore;
use midplane_testkit::server::Server;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use super::stores::Result;
use crate::race::race;
use crate::report::{Goal, Report};

const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(1_500);

/// The obvious design: a notification for every row.
const NAIVE: &str = "
    CREATE FUNCTION midplane.naive() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify(midplane.channel(), NEW.execution);
        RETURN NULL;
    END $$;
    CREATE TRIGGER naive AFTER INSERT ON midplane.outbox
        FOR EACH ROW EXECUTE FUNCTION midplane.naive();
    ALTER TABLE midplane.outbox DISABLE TRIGGER naive";

/// The trigger that wakes, and the number of listeners.
type Waking = (Option<&'static str>, usize);

const NONE: &str = "nobody is woken, nobody listens";
const SHIPPED: &str = "as shipped, 1 listener";
const EACH_ROW: &str = "a NOTIFY for each row, 1 listener";

const CONTENDERS: [(&str, Waking); 4] = [
    (NONE, (None, 0)),
    ("as shipped, nobody listens", (Some("wake"), 0)),
    (SHIPPED, (Some("wake"), 1)),
    (EACH_ROW, (Some("naive"), 1)),
];

pub(super) fn run(report: &mut Report, runtime: &Runtime) -> io::Result<()> {
    let database = runtime.block_on(Database::start());
    let database = database.map_err(io::Error::other)?;
    report.say(
        "Postgres, `fsync` on: commits per second of clients that each begin and complete executions, one \
         a transaction, and the median of the ratios to the first row of the same round.",
    );
    let mut commits = |clients| {
        report.progress(format!("commits of {clients} clients"));
        let race = race(&mut CONTENDERS.clone(), ROUNDS, |waking| {
            let turn = database.turn(*waking, clients);
            runtime.block_on(turn).map_err(io::Error::other)
        })?;
        let commits = race.most(|commits| *commits);
        let figure = format!("Postgres, {clients} clients and a listener");
        let goal = Goal::new(figure, commits.of(SHIPPED), "commits/s").floor(commits.floor());
        let goal = goal.peer(commits.of(EACH_ROW));
        report.goal(goal.ratio_at_least(commits.to_floor(SHIPPED), 0.8, "nobody woken"));
        io::Result::Ok(commits)
    };
    let (few, many) = (commits(8)?, commits(64)?);
    report.columns(
        few.names(),
        &[
            ("8 clients", &few.short()),
            ("of the first", &few.to_floor_fixed(2)),
            ("64 clients", &many.short()),
            ("of the first", &many.to_floor_fixed(2)),
        ],
    );
    Ok(())
}

/// A Postgres with both triggers.
struct Database {
    server: Server,
    store: PostgresStore,
    sql: Client,
}

impl Database {
    async fn start() -> Result<Self> {
        let server = Server::postgres_with(&["fsync=on", "max_connections=200"]);
        let store = PostgresStore::new(&server.url(), Arc::new(midplane::tokio::Timer::new()))?;
        store.migrate().await?;
        let sql = client(&server.url()).await?;
        sql.batch_execute(NAIVE).await?;
        Ok(Self { server, store, sql })
    }

    /// Commits per second.
    async fn turn(&self, (trigger, listeners): Waking, clients: usize) -> Result<f64> {
        set(&self.sql, trigger).await?;
        let mut listening = JoinSet::new();
        for _ in 0..listeners {
            let stream = self.store.backend().subscribe_completions().await?;
            listening.spawn(drain(stream));
        }
        let commits = load(&self.server.url(), clients).await?;
        listening.shutdown().await;
        self.store.prune(Duration::ZERO).await?;
        let empty = "TRUNCATE midplane.executions; CHECKPOINT";
        self.sql.batch_execute(empty).await?;
        Ok(commits)
    }
}

/// A connection to this Postgres.
pub(super) async fn client(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The calls see how the connection ends.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
}

/// Enables this trigger alone.
async fn set(sql: &Client, trigger: Option<&str>) -> Result<()> {
    for name in ["wake", "naive"] {
        let verb = if trigger == Some(name) {
            "ENABLE"
        } else {
            "DISABLE"
        };
        let statement = format!("ALTER TABLE midplane.outbox {verb} TRIGGER {name}");
        sql.batch_execute(&statement).await?;
    }
    Ok(())
}

async fn drain(mut stream: CompletionStream) {
    while stream.next().await.is_some() {}
}

/// Commits per second of these clients.
async fn load(url: &str, clients: usize) -> Result<f64> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let mut open = Vec::new();
    for _ in 0..clients {
        open.push(client(url).await?);
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for client in open {
        running.spawn(async move {
            let statement = "SELECT midplane.start($1), midplane.complete($1, 'x')";
            let statement = client.prepare(statement).await?;
            let mut commits = 0_u32;
            while start.elapsed() < TURN {
                let id = format!("job {}", NEXT.fetch_add(1, Ordering::Relaxed));
                client.query(&statement, &[&id]).await?;
                commits += 1;
            }
            Result::Ok(commits)
        });
    }
    let mut commits = 0;
    for ended in running.join_all().await {
        commits += ended?;
    }
    Ok(f64::from(commits) / start.elapsed().as_secs_f64())
}
