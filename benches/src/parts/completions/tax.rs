//! What waking listeners costs those who commit in Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use benches::Quantiles;
use futures::StreamExt;
use midplane::completions::{CompletionBackend, CompletionStream};
use midplane_postgres::PostgresStore;
use midplane_testkit::server::Server;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use super::Result;
use crate::report::{Goal, Report, short};

const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_millis(1_500);

/// What one does first: a notification for every row.
const NAIVE: &str = "
    CREATE FUNCTION midplane.naive() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify(midplane.channel(), NEW.execution);
        RETURN NULL;
    END $$;
    CREATE TRIGGER naive AFTER INSERT ON midplane.outbox
        FOR EACH ROW EXECUTE FUNCTION midplane.naive();
    ALTER TABLE midplane.outbox DISABLE TRIGGER naive";

/// A name, the trigger that is on, and how many listen.
const CONTENDERS: [(&str, Option<&str>, usize); 4] = [
    ("nobody is woken, nobody listens", None, 0),
    ("as shipped, nobody listens", Some("wake"), 0),
    ("as shipped, 1 listener", Some("wake"), 1),
    ("a NOTIFY for each row, 1 listener", Some("naive"), 1),
];

pub(super) async fn measure(report: &mut Report) -> Result<()> {
    let server = Server::postgres_with(&["fsync=on", "max_connections=200"]);
    let store = PostgresStore::new(&server.url(), Arc::new(midplane::tokio::Timer::new()))?;
    store.migrate().await?;
    let sql = client(&server.url()).await?;
    sql.batch_execute(NAIVE).await?;
    report.say(
        "Postgres, `fsync` on: commits per second of clients that each begin and complete executions, one \
         a transaction, and the median of the ratios to the first row of the same round.",
    );
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, ..) in CONTENDERS {
        rows.push(vec![name.to_owned()]);
    }
    for clients in [8, 64] {
        report.progress(format!("commits of {clients} clients"));
        let mut commits = vec![Vec::new(); CONTENDERS.len()];
        for _ in 0..ROUNDS {
            for ((_, trigger, listeners), commits) in CONTENDERS.iter().zip(&mut commits) {
                set(&sql, *trigger).await?;
                let mut listening = JoinSet::new();
                for _ in 0..*listeners {
                    let stream = store.backend().subscribe_completions().await?;
                    listening.spawn(drain(stream));
                }
                commits.push(load(&server.url(), clients).await?);
                listening.shutdown().await;
                store.prune(Duration::ZERO).await?;
                sql.batch_execute("TRUNCATE midplane.executions; CHECKPOINT")
                    .await?;
            }
        }
        let ratio = |at: usize, to: usize| {
            let ratios = commits[at].iter().zip(&commits[to]);
            Quantiles::new(ratios.map(|(one, other)| one / other)).at(0.5)
        };
        let median = |at: usize| Quantiles::new(commits[at].iter().copied()).at(0.5);
        for (at, row) in rows.iter_mut().enumerate() {
            row.push(short(median(at)));
            row.push(format!("{:.2}", ratio(at, 0)));
        }
        report.goal(
            Goal::new(
                format!("Postgres, {clients} clients and a listener"),
                median(2),
                "commits/s",
            )
            .floor(median(0))
            .peer(median(3))
            .ratio_at_least(ratio(2, 0), 0.8, "nobody woken"),
        );
    }
    report.table(
        &[
            "",
            "8 clients",
            "of the first",
            "64 clients",
            "of the first",
        ],
        &rows,
    );
    Ok(())
}

async fn client(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // How it ends is seen by the calls.
    tokio::spawn(async { drop(connection.await) });
    Ok(client)
}

/// Puts this trigger alone in charge of waking.
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

/// Commits per second of so many clients.
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
