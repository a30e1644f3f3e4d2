//! What waking listeners costs those who commit, and how fast completions come through.
//!
//! ```text
//! cargo bench -p midplane-postgres --bench completions    about five minutes
//! ```
//!
//! The server is a child of the benchmark, with `fsync` on. Contenders take turns, so that a neighbour's load
//! meets them all; what is printed is the median of the rounds, and of the ratios to the first contender in the
//! same round.

use std::error::Error;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use midplane_completions::{
    CompletionBackend, CompletionStream, Cursor, Execution, ExecutionId, Filter, Outcome, Producer,
    StreamItem,
};
use midplane_postgres::PostgresStore;
use midplane_testkit::server::Server;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, NoTls};

type Outcomes<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

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

struct Contender {
    name: &'static str,
    /// The trigger that is on.
    trigger: Option<&'static str>,
    listeners: usize,
}

const CONTENDERS: [Contender; 5] = [
    Contender {
        name: "nobody is woken, nobody listens",
        trigger: None,
        listeners: 0,
    },
    Contender {
        name: "ours, nobody listens",
        trigger: Some("wake"),
        listeners: 0,
    },
    Contender {
        name: "ours, 1 listener",
        trigger: Some("wake"),
        listeners: 1,
    },
    Contender {
        name: "ours, 4 listeners",
        trigger: Some("wake"),
        listeners: 4,
    },
    Contender {
        name: "NOTIFY for each row, 1 listener",
        trigger: Some("naive"),
        listeners: 1,
    },
];

fn main() -> Outcomes<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Outcomes<()> {
    let server = Server::postgres_with(&["fsync=on", "max_connections=200"]);
    let timer = Arc::new(midplane::threads::Timer::new());
    let store = PostgresStore::new(&server.url(), timer)?;
    store.migrate().await?;
    let (sql, _connection) = client(&server.url()).await?;
    sql.batch_execute(NAIVE).await?;
    for clients in [1, 8, 64] {
        tax(&server, &store, &sql, clients).await?;
    }
    set(&sql, Some("wake")).await?;
    latency(&store).await?;
    drain(&store, &sql).await
}

async fn client(url: &str) -> Outcomes<(Client, JoinHandle<()>)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // How it ends is seen by the calls.
    let driven = tokio::spawn(async { drop(connection.await) });
    Ok((client, driven))
}

/// Puts this trigger alone in charge of waking.
async fn set(sql: &Client, trigger: Option<&str>) -> Outcomes<()> {
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

/// Commits per second of so many clients, each of which begins and completes executions, one a transaction.
async fn tax(server: &Server, store: &PostgresStore, sql: &Client, clients: usize) -> Outcomes<()> {
    let mut commits = vec![Vec::new(); CONTENDERS.len()];
    let mut heard = vec![0; CONTENDERS.len()];
    for _ in 0..ROUNDS {
        for (at, contender) in CONTENDERS.iter().enumerate() {
            set(sql, contender.trigger).await?;
            let arrived = Arc::new(AtomicU64::new(0));
            let mut listeners = JoinSet::new();
            for _ in 0..contender.listeners {
                let stream = store.backend().subscribe_completions().await?;
                listeners.spawn(count(stream, Arc::clone(&arrived)));
            }
            commits[at].push(load(&server.url(), clients).await?);
            heard[at] += arrived.load(Ordering::Relaxed);
            listeners.shutdown().await;
            store.prune(Duration::ZERO).await?;
            sql.batch_execute("TRUNCATE midplane.executions; CHECKPOINT")
                .await?;
        }
    }
    writeln!(
        stdout(),
        "\n{clients} clients: commits a second, and of the first"
    )?;
    for (at, contender) in CONTENDERS.iter().enumerate() {
        let ratios = commits[at]
            .iter()
            .zip(&commits[0])
            .map(|(own, first)| own / first);
        writeln!(
            stdout(),
            "{:<34} {:>8.0} {:>6.2}   {} heard by then",
            contender.name,
            median(commits[at].clone()),
            median(ratios.collect()),
            heard[at],
        )?;
    }
    Ok(())
}

async fn count(mut stream: CompletionStream, arrived: Arc<AtomicU64>) {
    while let Some(item) = stream.next().await {
        if matches!(item, StreamItem::Completion(_)) {
            arrived.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn load(url: &str, clients: usize) -> Outcomes<f64> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let mut open = Vec::new();
    for _ in 0..clients {
        open.push(client(url).await?);
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (client, connection) in open {
        running.spawn(async move {
            let statement = "SELECT midplane.start($1), midplane.complete($1, 'x')";
            let statement = client.prepare(statement).await?;
            let mut commits = 0_u32;
            while start.elapsed() < ROUND {
                let id = format!("job {}", NEXT.fetch_add(1, Ordering::Relaxed));
                client.query(&statement, &[&id]).await?;
                commits += 1;
            }
            drop(client);
            connection.await?;
            Outcomes::Ok(commits)
        });
    }
    let mut commits = 0;
    for ended in running.join_all().await {
        commits += ended?;
    }
    Ok(f64::from(commits) / start.elapsed().as_secs_f64())
}

/// From the call that completes, and from its return, to the item of an idle stream.
async fn latency(store: &PostgresStore) -> Outcomes<()> {
    const COUNT: usize = 500;

    let mut stream = store.backend().subscribe_completions().await?;
    let (mut calls, mut behind) = (Vec::new(), Vec::new());
    for number in 0..COUNT {
        let id = ExecutionId::new(format!("latency {number}"))?;
        store.start(&Execution::new(id.clone())).await?;
        let start = Instant::now();
        let finish = async {
            store.finish(&id, &Outcome::Success, None).await?;
            Outcomes::Ok(start.elapsed())
        };
        let arrive = async {
            stream.next().await;
            start.elapsed()
        };
        let (returned, arrived) = futures::join!(finish, arrive);
        let returned = returned?;
        calls.push(returned.as_secs_f64() * 1e6);
        behind.push(arrived.as_secs_f64() * 1e6 - returned.as_secs_f64() * 1e6);
        // The stream gathers for a moment after each item; it is to be idle.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    writeln!(
        stdout(),
        "\nmicroseconds, p50 and p99, one at a time\nthe call that completes        {:>7.0} {:>7.0}\n\
         from its return to the item    {:>7.0} {:>7.0}",
        quantile(&mut calls, 0.5),
        quantile(&mut calls, 0.99),
        quantile(&mut behind, 0.5),
        quantile(&mut behind, 0.99),
    )?;
    Ok(())
}

/// How fast a stream catches up.
async fn drain(store: &PostgresStore, sql: &Client) -> Outcomes<()> {
    const COUNT: u32 = 50_000;

    let mut stream = store.backend().subscribe_completions().await?;
    store
        .start(&Execution::new(ExecutionId::new("first")?))
        .await?;
    store
        .finish(&ExecutionId::new("first")?, &Outcome::Success, None)
        .await?;
    let cursor: Cursor = loop {
        if let Some(StreamItem::Completion(completion)) = stream.next().await {
            break completion.cursor.ok_or("a cursor")?;
        }
    };
    drop(stream);
    sql.batch_execute(&format!(
        "DO $$ BEGIN FOR number IN 1..{COUNT} LOOP
            PERFORM midplane.start('drain ' || number);
            PERFORM midplane.complete('drain ' || number, 'x');
        END LOOP; END $$"
    ))
    .await?;
    let start = Instant::now();
    let mut stream = store
        .backend()
        .subscribe_from(&cursor, &Filter::all())
        .await?;
    let mut left = COUNT;
    while left > 0 {
        if let Some(StreamItem::Completion(_)) = stream.next().await {
            left -= 1;
        }
    }
    let rate = f64::from(COUNT) / start.elapsed().as_secs_f64();
    writeln!(
        stdout(),
        "\na stream that catches up: {rate:.0} completions a second"
    )?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}

fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}
