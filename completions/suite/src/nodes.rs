//! Two nodes on one store, one of which is killed again and again, and the order of flows.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::channel::mpsc;
use futures::future::{Either, join, join_all, select};
use futures::stream::StreamExt;
use futures_timer::Delay;
use midplane::Backoff;
use midplane::completions::{
    Attempt, Completion, Execution, FlowId, Group, GroupName, Handled, Handler, Ledger, Listener,
    ListenerSettings, Producer,
};
use midplane_testkit::{eventually, succeeds};

use crate::fixture::Fixture;
use crate::script::{complete, execution, start};
use crate::size::{asked, figures};

/// What the nodes go through.
struct Course {
    kills: usize,
    /// Parts of the flows, each of which begins once the part before was struck by a kill.
    rounds: usize,
    /// The flows of a round, and the executions of each of those.
    flows: usize,
    length: usize,
    /// How long a handler takes.
    work: Duration,
    /// The least time between two kills.
    pace: Duration,
}

impl Course {
    /// The course of a test, or what the environment asks for.
    fn asked() -> Self {
        match asked("MIDPLANE_KILLS") {
            None => Self {
                kills: 2,
                rounds: 1,
                flows: 6,
                length: 20,
                work: Duration::from_millis(1),
                pace: Duration::ZERO,
            },
            Some(kills) => Self {
                kills: kills.max(1),
                rounds: kills.max(1),
                flows: 10,
                length: 100,
                work: Duration::from_millis(50),
                pace: Duration::from_secs(5),
            },
        }
    }

    fn total(&self) -> usize {
        self.rounds * self.flows * self.length
    }

    /// How many executions are handled at least when this kill comes: it is in the middle of its part of all.
    fn before(&self, kill: usize) -> usize {
        (2 * kill + 1) * self.total() / (2 * self.kills)
    }
}

/// The handler of both nodes, which records what each flow went through.
struct FlowOracle {
    work: Duration,
    flows: Mutex<Flows>,
}

#[derive(Default)]
struct Flows {
    /// By flow: the execution that has the next turn, and the one that is in work.
    flows: HashMap<FlowId, (usize, Option<usize>)>,
    handled: usize,
    /// How often an execution was handled once more.
    repeated: usize,
    wrong: Vec<String>,
}

impl FlowOracle {
    fn state(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when this many executions are handled. Each ten of them must be within
    /// [patience](midplane_testkit::patience).
    async fn reaches(&self, handled: usize) {
        while self.state().handled < handled {
            let next = handled.min(self.state().handled + 10);
            let what = format!("{next} executions are handled");
            eventually(what, || self.state().handled >= next).await;
        }
    }
}

/// An execution in work, which is over when this is dropped.
struct InWork<'oracle>(&'oracle FlowOracle, FlowId);

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.flows.entry(self.1.clone()).or_default().1 = None;
    }
}

#[async_trait]
impl Handler for FlowOracle {
    async fn handle(
        &self,
        completion: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        let flow = completion.flow.clone().ok_or("a flow")?;
        let id = completion.execution.as_str();
        let number: usize = id.split_once(':').ok_or("a number")?.1.parse()?;
        {
            let mut state = self.state();
            let (next, running) = *state.flows.entry(flow.clone()).or_default();
            if let Some(other) = running {
                state.wrong.push(format!("{id} began beside {other}"));
            }
            if number > next {
                state.wrong.push(format!("{id} began, and {next} was next"));
            }
            state.flows.insert(flow.clone(), (next, Some(number)));
        }
        let in_work = InWork(self, flow.clone());
        Delay::new(self.work).await;
        drop(in_work);
        let mut state = self.state();
        let next = &mut state.flows.entry(flow).or_default().0;
        // What was done, and not recorded when its node died, is done again.
        let first = number == *next;
        *next = (*next).max(number + 1);
        state.handled += usize::from(first);
        state.repeated += usize::from(!first);
        Ok(Handled::Done)
    }
}

/// A node, which is killed where it stands and started anew with each kill, until there are no more.
async fn node(
    fixture: &dyn Fixture,
    ledger: &Arc<dyn Ledger>,
    oracle: Arc<FlowOracle>,
    mut kills: mpsc::UnboundedReceiver<()>,
) {
    let mut settings = ListenerSettings::default();
    // What a dead node had claimed lies still for as long.
    settings.lease = Duration::from_secs(3);
    settings.interval = Duration::from_millis(500);
    settings.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
    loop {
        let timer = Arc::new(midplane::threads::Timer::new());
        let (backend, ledger) = (fixture.backend(), Arc::clone(ledger));
        let listener = Listener::new(backend, ledger, oracle.clone(), timer);
        let (_handle, running) = listener.with_settings(settings).start();
        match select(running, kills.next()).await {
            Either::Left(_) => panic!("the listener ended"),
            Either::Right((Some(()), _)) => {}
            Either::Right((None, _)) => return,
        }
    }
}

impl Course {
    /// Runs and completes the executions of each round, once the round before was struck.
    async fn produce(&self, producer: &dyn Producer, mut strikes: mpsc::UnboundedReceiver<()>) {
        for round in 0..self.rounds {
            if round > 0 {
                strikes.next().await;
            }
            for number in 0..self.length {
                for flow in round * self.flows..(round + 1) * self.flows {
                    let id = format!("{flow}:{number}");
                    let flow = FlowId::new(format!("flow {flow}")).expect("an id");
                    start(producer, &Execution::new(execution(&id)).with_flow(flow)).await;
                    complete(producer, &id).await;
                }
            }
        }
    }

    /// Has two nodes handle everything from this ledger, and kills one after the other.
    async fn handle(
        &self,
        fixture: &dyn Fixture,
        ledger: Arc<dyn Ledger>,
        struck: mpsc::UnboundedSender<()>,
    ) {
        let begun = Instant::now();
        let oracle = Arc::new(FlowOracle {
            work: self.work,
            flows: Mutex::default(),
        });
        let (first, first_kills) = mpsc::unbounded();
        let (second, second_kills) = mpsc::unbounded();
        let killing = async {
            let nodes = [first, second];
            for kill in 0..self.kills {
                join(Delay::new(self.pace), oracle.reaches(self.before(kill))).await;
                // A node is there until its sender is dropped, and the producer may have no more to do.
                let _ = nodes[kill % 2].unbounded_send(());
                let _ = struck.unbounded_send(());
            }
            oracle.reaches(self.total()).await;
        };
        let nodes = join(
            node(fixture, &ledger, Arc::clone(&oracle), first_kills),
            node(fixture, &ledger, Arc::clone(&oracle), second_kills),
        );
        join(nodes, killing).await;
        self.judge(&oracle.state(), begun);
    }

    fn judge(&self, state: &Flows, begun: Instant) {
        if asked("MIDPLANE_KILLS").is_some() {
            figures(format_args!(
                "{} kills in {:.0} s: {} executions handled, {} of them twice, {} out of order or beside another",
                self.kills,
                begun.elapsed().as_secs_f64(),
                state.handled,
                state.repeated,
                state.wrong.len(),
            ));
        }
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
        assert_eq!(state.handled, self.total());
    }

    /// Produces, and has nodes of their own handle everything from each of these ledgers.
    async fn run(&self, fixture: &dyn Fixture, ledgers: Vec<Arc<dyn Ledger>>) {
        let (struck, strikes) = mpsc::unbounded();
        let handling = ledgers
            .into_iter()
            .map(|ledger| self.handle(fixture, ledger, struck.clone()));
        let producer = fixture.producer();
        join(self.produce(&*producer, strikes), join_all(handling)).await;
    }
}

/// "Executions of a flow are handled one after the other, by one listener of all on the store at a time", whatever dies.
///
/// `MIDPLANE_KILLS` makes the run longer: a node is killed every 5 s, and each kill has ten flows of 100 of its own.
pub(crate) async fn flows_keep_their_order_while_nodes_are_killed(fixture: Arc<dyn Fixture>) {
    let ledgers = vec![fixture.ledger()];
    Course::asked().run(&*fixture, ledgers).await;
}

/// "Flows are of one group": each has all executions of a flow handled in order, whatever dies.
pub(crate) async fn flows_of_two_groups_keep_their_order_while_nodes_are_killed(
    fixture: Arc<dyn Fixture>,
) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let mut ledgers = Vec::new();
    for name in ["audit", "billing"] {
        let group = Group::new(GroupName::new(name).expect("an id"));
        ledgers.push(succeeds("registering", groups.register(&group)).await);
    }
    Course::asked().run(&*fixture, ledgers).await;
}
