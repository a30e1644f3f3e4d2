//! A server, and the stages on which nodes use it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use midplane::{Audience, State, Target};
use midplane_conformance::executor::Executor;
use midplane_conformance::history::{Check, Fact, History, Mark, Terms, Witness};
use midplane_conformance::patience;
use midplane_conformance::proxy::Proxy;

use crate::{Broker, Company, HEARTBEAT, Stage};

/// How often a script looks whether something has come about.
const GLANCE: Duration = Duration::from_millis(5);

/// No publish takes longer, whatever the bus does: a stall of the bus does, many times.
const PUBLISH: Duration = Duration::from_millis(1_500);

/// How the nodes reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Themselves.
    Direct,
    /// By way of a proxy that plays faults.
    Proxied,
}

/// A play: one server, three stages, and what is done to them.
pub struct Theatre<'a> {
    broker: &'a dyn Broker,
    proxy: Proxy,
    stages: Vec<Stage>,
    /// What the histories are held to.
    pub terms: Terms,
    /// Checks that the histories are not held to.
    pub spared: Vec<Check>,
}

impl<'a> Theatre<'a> {
    /// Two nodes on each executor, all of them live.
    ///
    /// # Panics
    /// When they are not live in time.
    #[must_use]
    pub fn open(broker: &'a dyn Broker, way: Way) -> Self {
        let executors = [Executor::Smol, Executor::TokioCurrent, Executor::TokioMulti];
        Self::with(broker, way, &executors, Company::default())
    }

    /// A company on each of these executors, all nodes of it live.
    ///
    /// # Panics
    /// When they are not live in time.
    #[must_use]
    pub fn with(
        broker: &'a dyn Broker,
        way: Way,
        executors: &[Executor],
        company: Company,
    ) -> Self {
        let proxy = Proxy::start(broker.server().address());
        let address = match way {
            Way::Direct => broker.server().address(),
            Way::Proxied => proxy.address(),
        };
        let stages = executors.iter().map(|executor| {
            let prefix = prefix(*executor);
            let buses = (0..company.nodes)
                .map(|_| broker.bus(address, &prefix))
                .collect();
            Stage::start(*executor, buses, company)
        });
        let theatre = Self {
            stages: stages.collect(),
            broker,
            proxy,
            terms: terms(&company),
            spared: Vec::new(),
        };
        theatre.all_live();
        // Everyone has heard of everyone, and what they publish comes.
        theatre.pass(company.heartbeat * 2);
        theatre
    }

    /// The server.
    #[must_use]
    pub fn broker(&self) -> &dyn Broker {
        self.broker
    }

    /// What is between the nodes and the server, if they go by it.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The stages.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Every node of every stage.
    pub fn nodes(&self) -> impl Iterator<Item = &Witness> {
        self.stages.iter().flat_map(|stage| stage.nodes())
    }

    /// From now on something is wrong.
    pub fn broken(&self) {
        self.each(|_| Fact::Broken);
    }

    /// Nothing is wrong any more.
    pub fn healed(&self) {
        self.each(|_| Fact::Healed);
    }

    /// From now on nobody hears the bus, and must say so.
    pub fn cut(&self) {
        self.each_node(Fact::Cut);
    }

    /// Everybody may hear it again.
    pub fn mended(&self) {
        self.each_node(Fact::Mended);
    }

    fn each(&self, fact: impl Fn(&Stage) -> Fact) {
        for stage in &self.stages {
            stage.recorder().note(fact(stage));
        }
    }

    fn each_node(&self, fact: impl Fn(midplane::envelope::NodeId) -> Fact) {
        for stage in &self.stages {
            for node in stage.nodes() {
                stage.recorder().note(fact(node.node()));
            }
        }
    }

    /// Lets time pass: a fault lasts for so long.
    pub fn pass(&self, duration: Duration) {
        thread::sleep(duration);
    }

    /// Waits until every node is live.
    ///
    /// # Panics
    /// When one is not in time.
    pub fn all_live(&self) {
        self.all("every node is live", |state| state == State::Live);
    }

    /// Waits until no node is.
    ///
    /// # Panics
    /// When one still is.
    pub fn none_live(&self) {
        self.all("no node is live", |state| state != State::Live);
    }

    /// Waits until this holds.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            let patience = patience();
            assert!(
                start.elapsed() < patience,
                "{what}: not within {patience:?}"
            );
            thread::sleep(GLANCE);
        }
    }

    /// Of late, nobody tried to connect again and again without a pause.
    ///
    /// # Panics
    /// When somebody did.
    pub fn knocks_are_few(&self, lately: Duration) {
        for stage in &self.stages {
            let since = stage.recorder().now().saturating_sub(lately);
            let knocks = stage.knocks().since(since);
            // The first waits are 31 ms on average, and each is twice the one before.
            let most = stage.nodes().len() * (lately.as_millis() / 31) as usize;
            assert!(
                knocks <= most,
                "{knocks} tries to connect within {lately:?} on {:?}",
                stage.executor()
            );
        }
    }

    fn all(&self, what: &str, holds: impl Fn(State) -> bool) {
        let start = Instant::now();
        loop {
            let states: Vec<State> = self.nodes().map(|node| node.plane().state()).collect();
            let mut open = states.iter().filter(|state| **state != State::Closed);
            if open.all(|state| holds(*state)) {
                return;
            }
            // Nodes that get no time to log in try again.
            let patience = patience() * 3;
            assert!(
                start.elapsed() < patience,
                "{what}: not within {patience:?}, but {states:?}"
            );
            thread::sleep(GLANCE);
        }
    }

    /// Lets every node publish an event and waits until every other has it, again if need be: what was wrong
    /// may end a session only now. Nobody is deaf or mute.
    fn everyone_is_heard(&self) {
        let start = Instant::now();
        for stage in &self.stages {
            while !all_are_heard(stage) {
                let patience = patience();
                assert!(
                    start.elapsed() < patience,
                    "everyone is heard: not within {patience:?} on {:?}",
                    stage.executor()
                );
            }
        }
    }

    /// Waits until everyone is live and all is told, and has every history judged.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn finish(self) {
        self.all_live();
        self.everyone_is_heard();
        let Self {
            stages,
            terms,
            spared,
            ..
        } = self;
        // All stages come to rest at the same time.
        let finishing: Vec<_> = stages
            .into_iter()
            .map(|stage| {
                let executor = stage.executor();
                (executor, thread::spawn(move || stage.finish()))
            })
            .collect();
        let histories: Vec<_> = finishing
            .into_iter()
            .map(|(executor, thread)| (executor, thread.join().expect("the stage finishes")))
            .collect();
        for (executor, history) in &histories {
            let judged = std::panic::catch_unwind(|| {
                history.hold_but(&terms, &spared);
                prompt(history);
            });
            assert!(judged.is_ok(), "on {executor:?}");
        }
    }
}

impl std::fmt::Debug for Theatre<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Theatre")
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}

/// Whether, within some time, every node hears an event of every other.
fn all_are_heard(stage: &Stage) -> bool {
    let open = |node: &&Witness| node.plane().state() != State::Closed;
    let open: Vec<&Witness> = stage.nodes().iter().filter(open).collect();
    let [first, second] =
        ["first", "second"].map(|name| Target::connection(name).expect("an id of a few letters"));
    let all = Audience::from(first).or(second);
    let mut looked = stage.recorder().len();
    let said: HashSet<Mark> = open
        .iter()
        .map(|node| {
            let mut publisher = node.publisher();
            let _ = publisher.publish(&all, 0);
            publisher.last()
        })
        .collect();
    // Each node has two connections that stay.
    let wanted = said.len() * open.len() * 2;
    let mut heard = HashSet::new();
    let until = Instant::now() + HEARTBEAT * 6;
    while Instant::now() < until {
        looked = stage.recorder().look(looked, |record| {
            if let Fact::Delivered {
                seat,
                mark: Some(mark),
                ..
            } = record.fact
                && said.contains(&mark)
            {
                heard.insert((seat, mark));
            }
        });
        if heard.len() >= wanted {
            return true;
        }
        thread::sleep(GLANCE);
    }
    false
}

/// Where the nodes on this executor meet.
pub(crate) fn prefix(executor: Executor) -> String {
    format!("faults-{executor:?}").to_lowercase()
}

/// An address of the server that scripts may use for a bus of their own.
pub(crate) fn address(theatre: &Theatre<'_>) -> SocketAddr {
    theatre.broker().server().address()
}

/// What a history is held to, if a script does not say otherwise.
fn terms(company: &Company) -> Terms {
    let config = company.config();
    Terms {
        heartbeat: config.heartbeat,
        time_to_live: config.time_to_live,
        lanes: config.lanes,
        delay: Duration::from_secs(2),
        // Two missed heartbeats, and what a loaded machine takes.
        notice: config.heartbeat * 2 + config.heartbeat / 8 + Duration::from_millis(500),
        queue: config.queue as u64,
        heal: config.heartbeat * 16,
    }
}

/// Local delivery never waits for the bus.
fn prompt(history: &History) {
    let mut called = HashMap::new();
    for record in &history.records {
        match &record.fact {
            Fact::Publishing { mark, .. } => drop(called.insert(*mark, record.at)),
            Fact::Published { mark, .. } => {
                let took = record.at - called[mark];
                assert!(took < PUBLISH, "the publish of {mark} took {took:?}");
            }
            _ => {}
        }
    }
}
