//! Two nodes on one store, one of which is killed again and again, and the order of flows.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::mpsc;
use futures::future::{Either, join, join3, select};
use futures::stream::StreamExt;
use futures_timer::Delay;
use midplane::Backoff;
use midplane::completions::{
    Attempt, Completion, Execution, FlowId, Handled, Handler, Listener, ListenerSettings,
};
use midplane_testkit::eventually;

use crate::fixture::Fixture;
use crate::script::{complete, execution, start};

/// Executions of a flow, in a long run.
const LONG_FLOW: usize = 100;

/// The handler of both nodes, which records what each flow went through.
#[derive(Default)]
struct FlowOracle(Mutex<Flows>);

#[derive(Default)]
struct Flows {
    /// By flow: the execution that has the next turn, and the one that is in work.
    flows: HashMap<FlowId, (usize, Option<usize>)>,
    handled: usize,
    wrong: Vec<String>,
}

impl FlowOracle {
    fn state(&self) -> MutexGuard<'_, Flows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        Delay::new(Duration::from_millis(1)).await;
        drop(in_work);
        let mut state = self.state();
        let next = &mut state.flows.entry(flow).or_default().0;
        // What was done, and not recorded when its node died, is done again.
        let first = number == *next;
        *next = (*next).max(number + 1);
        state.handled += usize::from(first);
        Ok(Handled::Done)
    }
}

/// A node, which is killed where it stands and started anew with each kill, until there are no more.
async fn node(
    fixture: Arc<dyn Fixture>,
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
        let (backend, ledger) = (fixture.backend(), fixture.ledger());
        let listener = Listener::new(backend, ledger, oracle.clone(), timer);
        let (_handle, running) = listener.with_settings(settings).start();
        match select(running, kills.next()).await {
            Either::Left(_) => panic!("the listener ended"),
            Either::Right((Some(()), _)) => {}
            Either::Right((None, _)) => return,
        }
    }
}

/// "Executions of a flow are handled one after the other, by one listener of all on the store at a time", whatever dies.
///
/// `MIDPLANE_KILLS` makes the run longer: each kill has ten flows of 100 of its own.
pub(crate) async fn flows_keep_their_order_while_nodes_are_killed(fixture: Arc<dyn Fixture>) {
    let asked = std::env::var("MIDPLANE_KILLS").ok();
    let asked: Option<usize> = asked.and_then(|kills| kills.parse().ok());
    let kills = asked.unwrap_or(2);
    let (flows, length) = asked.map_or((6, 20), |kills| (10 * kills.max(1), LONG_FLOW));
    let total = flows * length;
    let oracle = Arc::new(FlowOracle::default());
    let (first, first_kills) = mpsc::unbounded();
    let (second, second_kills) = mpsc::unbounded();
    let producing = async {
        let producer = fixture.producer();
        for number in 0..length {
            for flow in 0..flows {
                let id = format!("{flow}:{number}");
                let flow = FlowId::new(format!("flow {flow}")).expect("an id");
                start(&*producer, &Execution::new(execution(&id)).with_flow(flow)).await;
                complete(&*producer, &id).await;
            }
        }
    };
    let killing = async {
        let nodes = [first, second];
        for kill in 0..kills {
            let part = (kill + 1) * total / (kills + 1);
            eventually("a part is handled", || oracle.state().handled >= part).await;
            // A node is there until its sender is dropped.
            let _ = nodes[kill % 2].unbounded_send(());
        }
        for part in 1..=10 {
            let enough = || oracle.state().handled >= part * total / 10;
            eventually("a part is handled", enough).await;
        }
    };
    let nodes = join(
        node(Arc::clone(&fixture), Arc::clone(&oracle), first_kills),
        node(Arc::clone(&fixture), Arc::clone(&oracle), second_kills),
    );
    join3(nodes, producing, killing).await;
    let state = oracle.state();
    assert!(state.wrong.is_empty(), "{:?}", state.wrong);
    assert_eq!(state.handled, total);
}
