//! Jobs, and their progress as server-sent events: first how far a job is, and then each change.
//!
//! ```sh
//! cargo run -p axum-app --bin jobs
//! curl -X POST 127.0.0.1:8080/jobs/report
//! curl -N 127.0.0.1:8080/jobs/report
//! ```
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use midplane::mailbox::Overflow;
use midplane::{AttachOptions, EventKey, Plane, Target};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::sleep;

const STEPS: u32 = 20;

#[derive(Clone, Copy, Default, Serialize)]
struct Progress {
    done: u32,
    of: u32,
}

/// What all handlers share. The table of jobs is a database in earnest, which every replica reads.
#[derive(Clone)]
struct App {
    plane: Plane,
    jobs: Arc<Mutex<BTreeMap<String, Progress>>>,
}

impl App {
    fn progress(&self, job: &str) -> Progress {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.get(job).copied().unwrap_or_default()
    }

    /// Keeps the progress before it is told: who looks it up and then listens misses nothing.
    fn advance(&self, job: &str, progress: Progress) -> Result<(), midplane::Error> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.insert(job.to_owned(), progress);
        drop(jobs);
        // Of a job only the newest progress matters: with its key a slow reader skips the others.
        let event = midplane::json(&progress)?.keyed(EventKey::new(job)?);
        self.plane.try_publish(Target::topic(job), event)?;
        Ok(())
    }
}

async fn start(State(app): State<App>, Path(job): Path<String>) -> midplane_axum::Result<String> {
    app.advance(&job, Progress { done: 0, of: STEPS })?;
    let name = job.clone();
    tokio::spawn(async move {
        for done in 1..=STEPS {
            sleep(Duration::from_millis(25)).await; // the work
            if let Err(error) = app.advance(&job, Progress { done, of: STEPS }) {
                println!("the progress of {job} goes to this replica alone: {error}");
            }
        }
    });
    Ok(name)
}

/// The snapshot is read once publishers on every replica reach the topic: there is no hole between it and the changes.
async fn watch(State(app): State<App>, Path(job): Path<String>) -> Response {
    let latest = AttachOptions::new().overflow(Overflow::KeepLatest);
    let sse = midplane_axum::sse(&app.plane).associate(Target::topic(&job));
    let snapshot = async move { midplane::json(&app.progress(&job)) };
    sse.options(latest).first(snapshot).serve().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (plane, jobs) = (Plane::from_env().await?, Arc::default());
    let plane_to_end = plane.clone();
    let router = Router::new()
        .route("/jobs/{job}", post(start).get(watch))
        .with_state(App { plane, jobs });
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    midplane_axum::serve(listener, router, plane_to_end).await?;
    Ok(())
}
