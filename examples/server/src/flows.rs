//! Flows of executions that a session watches: completions, bridged to the backplane.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use midplane::completions::{ListenerSettings, MemoryStore};
use midplane::id::SessionId;
use midplane::{Audience, Event, Target};
use promoter::{Plan, Progress, Run, Store};
use serde::{Deserialize, Serialize};

use crate::gauge::{Gauge, Permit};
use crate::identity::{self, NoEntropy};
use crate::runtime::Runtime;
use crate::state::App;

/// The most flows that run at once on one server. A request for another is refused.
const FLOWS: usize = 16;

/// The most executions of one flow.
const EXECUTIONS: usize = 1_000;

/// How long one execution is at work: long enough to be seen on the page.
const WORK: Duration = Duration::from_millis(150);

/// The flows of a server: a store of completions, and a permit for each flow that runs.
pub(crate) struct Flows {
    store: MemoryStore,
    places: Arc<Gauge>,
}

/// The body of `POST /flows`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The session that watches.
    session: SessionId,
    #[serde(default = "Wanted::some")]
    executions: usize,
}

impl Wanted {
    fn some() -> usize {
        24
    }
}

/// A flow that was started.
#[derive(Debug, Serialize)]
pub(crate) struct Started {
    flow: String,
    executions: usize,
}

/// Why a flow was not started.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The flow has no executions, or too many.
    Size,
    /// The most flows that may run at once do.
    Busy,
    /// The system gave no random bytes for its name.
    NoEntropy(NoEntropy),
}

impl Refused {
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Size => format!("a flow has 1 to {EXECUTIONS} executions"),
            Self::Busy => format!("{FLOWS} flows run already, which is as many as may"),
            Self::NoEntropy(error) => error.to_string(),
        }
    }
}

/// An event for the session: an execution that was started, or how it ended.
#[derive(Serialize)]
struct Step<'a> {
    flow: &'a str,
    execution: usize,
    state: &'a str,
    /// How many executions have ended, and of how many.
    finished: usize,
    of: usize,
}

impl Flows {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        Self {
            store: MemoryStore::new(runtime.timer.clone()),
            places: Gauge::new(FLOWS),
        }
    }

    /// Runs a flow of random shape in the background, and publishes each of its steps to the session, on
    /// whatever node its connections are.
    pub(crate) fn start(app: &Arc<App>, wanted: Wanted) -> Result<Started, Refused> {
        let Wanted {
            session,
            executions,
        } = wanted;
        if !(1..=EXECUTIONS).contains(&executions) {
            return Err(Refused::Size);
        }
        let permit = app.flows.places.try_acquire().ok_or(Refused::Busy)?;
        let flow = identity::new_nonce().map_err(Refused::NoEntropy)?;
        // The first digits of a nonce are as random as any.
        let seed = u64::from_str_radix(&flow[..16], 16).unwrap_or_default();
        let run = Run::new(
            &flow,
            Plan::random(executions, seed),
            Store::from(app.flows.store.clone()),
            app.runtime.timer.clone(),
        );
        let run = run
            .with_work(WORK)
            .with_settings(ListenerSettings::default())
            .with_observer(bridge(app, session, &flow, executions));
        app.runtime.spawn(finish(run, permit));
        Ok(Started { flow, executions })
    }
}

async fn finish(run: Run, permit: Permit) {
    let done = run.finish().await;
    tracing::debug!(
        executions = done.outcomes.len(),
        elapsed = ?done.elapsed,
        "flow ended"
    );
    drop(permit);
}

/// The observer that publishes each step to the session.
fn bridge(
    app: &Arc<App>,
    session: SessionId,
    flow: &str,
    of: usize,
) -> impl Fn(Progress) + Send + Sync + 'static {
    let app = Arc::clone(app);
    let audience = Audience::from(Target::Session(session));
    let flow = flow.to_owned();
    let finished = AtomicUsize::new(0);
    move |progress| {
        let (execution, state, ended) = match &progress {
            Progress::Started(execution) => (*execution, "started", 0),
            Progress::Finished(execution, outcome) => (*execution, outcome.as_str(), 1),
        };
        let step = Step {
            flow: &flow,
            execution,
            state,
            finished: finished.fetch_add(ended, Ordering::Relaxed) + ended,
            of,
        };
        match serde_json::to_string(&step) {
            Ok(text) => drop(app.publish(&audience, &Event::text(&*text))),
            Err(error) => unreachable!("numbers and text are JSON: {error}"),
        }
    }
}
