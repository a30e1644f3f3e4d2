//! A small job queue, whose completions become events of the sessions that asked for the work.
//!
//! A job is an execution: its flow is the session that wants it, so that a session is told of its jobs in their order. The
//! handler is the bridge, in one line.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::mpsc;
use futures::executor::block_on;
use futures::future::join;
use futures::stream::StreamExt;
use midplane::completions::{
    Attempt, Completion, Execution, ExecutionId, FlowId, Handled, Handler, Listener, MemoryStore,
    Namespace, ProduceError, Producer,
};
use midplane::id::SessionId;
use midplane::threads::Timer;
use midplane::{Connection, Item, Plane, Target};

/// The queue: jobs are recorded in a store, and done by workers of this process.
#[derive(Clone)]
struct Queue {
    producer: Arc<dyn Producer>,
    numbers: Arc<AtomicU64>,
    jobs: mpsc::UnboundedSender<(ExecutionId, String)>,
}

impl Queue {
    /// A queue in this store, and the work of its workers, each of which does one job at a time.
    fn new(producer: Arc<dyn Producer>, workers: usize) -> (Self, impl Future<Output = ()>) {
        let (jobs, waiting) = mpsc::unbounded();
        let queue = Self {
            producer: Arc::clone(&producer),
            numbers: Arc::default(),
            jobs,
        };
        let working = waiting.for_each_concurrent(workers, move |(id, text): (_, String)| {
            let producer = Arc::clone(&producer);
            async move {
                // What a job is: here its text is turned around.
                let result: String = text.chars().rev().collect();
                // A process that ends here leaves a job that was started and is not finished: a queue that outlives its
                // process keeps the texts beside the executions, in the database of the store.
                let _ = producer.complete(&id, Some(result.into())).await;
            }
        });
        (queue, working)
    }

    /// Adds a job for a session.
    async fn push(&self, session: &SessionId, text: &str) -> Result<(), Box<dyn Error>> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let id = ExecutionId::new(format_args!("job {number}"))?;
        let job = Execution::new(id.clone())
            .with_namespace(Namespace::new("queue")?)
            .with_flow(FlowId::new(session)?);
        self.producer.start(&job).await.map_err(boxed)?;
        Ok(self.jobs.unbounded_send((id, text.to_owned()))?)
    }
}

fn boxed(error: ProduceError) -> Box<dyn Error> {
    error.into()
}

/// What publishes each completion to the session that asked for it.
struct Bridge(Plane);

#[async_trait]
impl Handler for Bridge {
    async fn handle(
        &self,
        completion: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        let session = completion.flow.as_ref().ok_or("a job has a session")?;
        let result = completion.bytes.clone().unwrap_or_default();
        let receipt = self.0.publish(Target::session(session)?, result);
        // A session that is nowhere connected learns of its job when it asks.
        Ok(if receipt.accepted() > 0 {
            Handled::Done
        } else {
            Handled::NoOp
        })
    }
}

/// Pushes these texts as jobs of one session, and gives the events that a connection of the session gets.
async fn run(texts: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let timer = Arc::new(Timer::new());
    let store = MemoryStore::new(timer.clone());
    let plane = Plane::local();
    let session = SessionId::new("ada")?;
    let mut connection: Connection = plane.attach();
    connection.associate(Target::session(&session)).await?;

    let (queue, working) = Queue::new(Arc::new(store.clone()), 4);
    let bridge = Arc::new(Bridge(plane));
    let backend = Arc::new(store.backend());
    let listener = Listener::new(backend, Arc::new(store), bridge, timer);
    let (handle, listening) = listener.start();

    let script = async {
        let mut got = Vec::new();
        for text in texts {
            queue.push(&session, text).await?;
        }
        while got.len() < texts.len() {
            match connection.next().await {
                Some(Item::Event(event)) => {
                    got.push(String::from_utf8_lossy(event.bytes()).into_owned());
                }
                other => return Err(format!("no event: {other:?}").into()),
            }
        }
        queue.jobs.close_channel();
        handle.close(Duration::from_secs(5)).await;
        Ok(got)
    };
    join(script, join(working, listening)).await.0
}

fn main() -> Result<(), Box<dyn Error>> {
    for result in block_on(run(&["one", "two", "three"]))? {
        writeln!(std::io::stdout(), "{result}")?;
    }
    Ok(())
}

#[test]
fn each_job_becomes_an_event_of_its_session() {
    let texts: Vec<_> = (0..100).map(|number| format!("job-{number}")).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let mut got = block_on(run(&texts)).unwrap();
    let mut expected: Vec<String> = texts
        .iter()
        .map(|text| text.chars().rev().collect())
        .collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}
