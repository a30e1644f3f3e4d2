//! Nodes as values.

use std::collections::HashSet;
use std::iter;
use std::mem;
use std::time::Duration;

use midplane::bus::{Limits, Outbound};
use midplane::core::{Question, Reason};
use midplane::envelope::{Decoded, Frame, Message, NodeId};
use midplane::node::{Config, Intake, News, Node};
use midplane::{Answer, Audience, Event, Instant, Scope, Target};

use super::id;

/// The time in which a frame comes to every node.
const STEP: Duration = Duration::from_millis(50);

const LIMITS: Limits = Limits::new(1 << 16);

/// The heartbeats in which nodes that start at once know each other: each names 32 others.
const SETTLES: u32 = 100;

/// Nodes as values, and a bus that brings every frame to all of them.
#[derive(Debug)]
pub struct ManyNodes {
    config: Config,
    audience: Audience,
    now: Duration,
    members: Vec<Member>,
    flying: Vec<Outbound>,
    published: Vec<Published>,
}

#[derive(Debug)]
struct Member {
    node: Node,
    alive: bool,
    /// How many events the node published.
    published: u64,
    got: HashSet<usize>,
    /// The gaps and deafness that the node told.
    told: Vec<News>,
    /// Whether the last question may have been answered by all, by how many, and how many did not.
    answered: Option<(bool, usize, usize)>,
    links: u32,
}

/// An event: who published it, when, and under which number.
#[derive(Debug, Clone, Copy)]
struct Published {
    from: usize,
    at: Duration,
    number: u64,
}

impl ManyNodes {
    /// Starts this number of nodes within a heartbeat, each with room for `peers` others.
    #[must_use]
    pub fn start(nodes: usize, peers: usize) -> Self {
        let config = Config {
            heartbeat: Duration::from_secs(2),
            // As few heartbeats as are enough for three that are missed.
            time_to_live: Duration::from_secs(8),
            peers,
            ..Config::default()
        };
        let member = |number| Member {
            node: Node::new(id(number), config, LIMITS),
            alive: true,
            published: 0,
            got: HashSet::new(),
            told: Vec::new(),
            answered: None,
            links: 0,
        };
        let mut all = Self {
            config,
            audience: Target::topic("t").expect("a topic").into(),
            now: Duration::ZERO,
            members: (0..nodes).map(member).collect(),
            flying: Vec::new(),
            published: Vec::new(),
        };
        let steps = all.steps(1);
        for step in 0..steps {
            for which in (0..nodes).filter(|which| which % steps == step) {
                let now = all.clock(which);
                all.members[which].node.connected(now);
                all.members[which].links += 1;
            }
            all.step();
        }
        all
    }

    /// How many nodes live.
    #[must_use]
    pub fn living(&self) -> usize {
        self.members.iter().filter(|member| member.alive).count()
    }

    /// How many other nodes each that lives knows as a member: the fewest, and the most.
    #[must_use]
    pub fn known(&self) -> (usize, usize) {
        let living = self.members.iter().filter(|member| member.alive);
        let known = living.map(|member| member.node.members().count());
        known.fold((usize::MAX, 0), |(least, most), known| {
            (least.min(known), most.max(known))
        })
    }

    /// Lets time pass until every node knows all others, or as many as it has room for. Gives how many heartbeats that took.
    ///
    /// # Panics
    /// When they do not within a hundred heartbeats.
    pub fn settle(&mut self) -> u32 {
        let others = self.living() - 1;
        let wanted = others.min(self.config.peers);
        for heartbeats in 0..SETTLES {
            if self.known().0 >= wanted {
                return heartbeats;
            }
            self.run(1);
        }
        panic!(
            "of {wanted} others nodes know from {} to {}",
            self.known().0,
            self.known().1
        );
    }

    /// Lets this number of heartbeats pass.
    pub fn run(&mut self, heartbeats: u32) {
        for _ in 0..self.steps(heartbeats) {
            self.step();
        }
    }

    /// The members that each node that lives knows.
    #[must_use]
    pub fn members(&self) -> Vec<Vec<NodeId>> {
        let living = self.members.iter().filter(|member| member.alive);
        let known = living.map(|member| member.node.members().map(|(id, _)| id).collect());
        known.collect()
    }

    /// Every node publishes an event for all.
    pub fn publish_each(&mut self) {
        for from in 0..self.members.len() {
            let now = self.clock(from);
            if !self.members[from].alive {
                continue;
            }
            let event = Event::text(self.published.len().to_string());
            let intake = Intake::new(self.config.lanes, LIMITS);
            let queued = intake.publish(now, &Scope::default(), &self.audience, &event);
            let member = &mut self.members[from];
            member.node.enqueue(queued.expect("a small event fits"));
            member.published += 1;
            self.published.push(Published {
                from,
                at: self.now,
                number: member.published,
            });
        }
    }

    /// The first node asks all others. Gives whether their answers may be all, how many came, how many did not, and the
    /// frames that all nodes received for them.
    ///
    /// # Panics
    /// When the node cannot ask.
    pub fn ask(&mut self) -> (bool, usize, usize, usize) {
        let now = self.clock(0);
        let until = now + self.config.heartbeat;
        let question = Question::Count(self.audience.clone());
        let asker = &mut self.members[0].node;
        let asked = asker.ask(now, until, &Scope::default(), &question);
        asked.expect("a question is asked");
        self.members[0].answered = None;
        let mut frames = 0;
        for _ in 0..self.steps(2) {
            let about = self.flying.iter().filter(|sent| is_about_questions(sent));
            frames += about.count() * self.living();
            self.step();
        }
        let (all, came, silent) = self.members[0].answered.take().expect("it is closed");
        (all, came, silent, frames)
    }

    /// The last nodes that live are gone without a word.
    pub fn crash(&mut self, nodes: usize) {
        let living = self.members.iter_mut().filter(|member| member.alive);
        for member in living.rev().take(nodes) {
            member.alive = false;
        }
    }

    /// The reasons of a node that lives.
    #[must_use]
    pub fn reasons(&self, which: usize) -> Vec<Reason> {
        self.members[which].node.reasons(self.clock(which))
    }

    /// Fails unless every node that lives is ready, and none is said not to be heard by another.
    ///
    /// # Panics
    /// With the node and its reasons.
    pub fn assert_ready(&self) {
        for which in (0..self.members.len()).filter(|which| self.members[*which].alive) {
            let reasons = self.reasons(which);
            let unheard = |reason: &Reason| {
                matches!(reason, Reason::NotHeardBy { .. } | Reason::DeafTo { .. })
            };
            let ready = self.members[which].node.is_ready();
            assert!(
                ready && !reasons.iter().any(unheard),
                "node {which}, ready: {ready}, {} reasons, first {:?}",
                reasons.len(),
                reasons.first()
            );
        }
    }

    /// Fails unless every event came to every node that lives, and nothing was ever told.
    ///
    /// # Panics
    /// With what is missing or was told.
    pub fn assert_whole(&self) {
        self.assert_accounted();
        assert_eq!(self.missing().count(), 0);
        for (which, member) in self.members.iter().enumerate() {
            let told = member.told.first();
            assert!(!member.alive || told.is_none(), "node {which}: {told:?}");
        }
    }

    /// Fails unless every event came to every node that lives, or was told there as missing. Gives how many were told.
    ///
    /// # Panics
    /// With the first event that neither came nor was told.
    pub fn assert_accounted(&self) -> usize {
        let mut told = 0;
        for (to, event) in self.missing() {
            let at = clock(to, event.at);
            let covered = self.members[to]
                .told
                .iter()
                .any(|news| covers(news, event, at));
            assert!(
                covered,
                "{event:?} is missing at node {to} and not told: {:?}",
                self.members[to].told
            );
            told += 1;
        }
        assert!(self.members.iter().all(|member| member.links == 1));
        told
    }

    /// How often the nodes that live told of something missing.
    #[must_use]
    pub fn told(&self) -> usize {
        let living = self.members.iter().filter(|member| member.alive);
        living.map(|member| member.told.len()).sum()
    }

    /// Forgets what was published, received and told until now.
    pub fn forget(&mut self) {
        self.published.clear();
        for member in &mut self.members {
            member.got.clear();
            member.told.clear();
        }
    }

    /// What did not come, and to which node that lives.
    fn missing(&self) -> impl Iterator<Item = (usize, Published)> {
        let living = self.members.iter().enumerate();
        let living = living.filter(|(_, member)| member.alive);
        living.flat_map(move |(to, member)| {
            let others = self.published.iter().enumerate();
            let others = others.filter(move |(_, event)| event.from != to);
            others
                .filter(move |(number, _)| !member.got.contains(number))
                .map(move |(_, event)| (to, *event))
        })
    }

    fn steps(&self, heartbeats: u32) -> usize {
        let steps = self.config.heartbeat.as_millis() / STEP.as_millis();
        steps as usize * heartbeats as usize
    }

    fn clock(&self, which: usize) -> Instant {
        clock(which, self.now)
    }

    /// Every node receives what was sent in the step before, and does what is due.
    fn step(&mut self) {
        self.now += STEP;
        let arriving = mem::take(&mut self.flying);
        for which in 0..self.members.len() {
            let now = self.clock(which);
            let member = &mut self.members[which];
            if !member.alive {
                continue;
            }
            for sent in &arriving {
                member.node.receive(now, sent.lane, &sent.frame);
                member.take_news(now);
            }
            if member.node.timeout().is_some_and(|due| due <= now) {
                member.node.tick(now);
            }
            self.flying
                .extend(iter::from_fn(|| member.node.transmit(now)));
            member.take_news(now);
        }
    }
}

impl Member {
    fn take_news(&mut self, now: Instant) {
        while let Some(news) = self.node.news() {
            match news {
                News::Event { event, .. } => {
                    let number = event.as_text().and_then(|text| text.parse().ok());
                    let first = self.got.insert(number.expect("a number"));
                    assert!(first, "{event:?} came twice");
                }
                News::Gap { .. } | News::Deaf { .. } => self.told.push(news),
                News::Asked { origin, id, .. } => {
                    let answer = Answer::Connections(1);
                    let answered = self.node.answer(now, origin, id, answer);
                    answered.expect("an answer is sent");
                }
                News::Answered {
                    answers,
                    silent,
                    live,
                    ..
                } => self.answered = Some((live, answers.len(), silent.len())),
                News::Reconnect => {
                    self.node.connected(now);
                    self.links += 1;
                }
                _ => {}
            }
        }
    }
}

/// What the clock of a node shows: no two agree.
fn clock(which: usize, at: Duration) -> Instant {
    Instant::from_origin(at + Duration::from_millis(1_234_567) * which as u32)
}

fn covers(news: &News, event: Published, at: Instant) -> bool {
    match news {
        News::Gap { origin, run, .. } => {
            *origin == id(event.from) && (run.first..=run.last).contains(&event.number)
        }
        News::Deaf {
            origin,
            since,
            until,
            ..
        } => {
            let of = origin.is_none_or(|origin| origin == id(event.from));
            of && (*since..=*until).contains(&at)
        }
        _ => false,
    }
}

/// Whether a frame has a question or an answer in it.
fn is_about_questions(sent: &Outbound) -> bool {
    let Ok(Decoded::Frame(frame)) = Frame::decode(&sent.frame, LIMITS.frame) else {
        return false;
    };
    let mut messages = frame.messages();
    messages.any(|(_, message)| {
        matches!(
            message,
            Ok(Message::Question { .. } | Message::Answer { .. })
        )
    })
}
