//! One run: nodes that publish and receive at a rate, and an outage in the middle.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use instructions::topic;
use midplane::bus::Bus;
use midplane::node::{Config, NodeCounters};
use midplane::{Audience, Event};
use midplane_redis::Redis;
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server;

use super::by_hand::ByHand;
use super::journal::{Journal, Published, micros, payload};
use super::outcome::{Outcome, Phases};
use crate::across::{NodeThread, failed};

pub(super) const NODES: usize = 3;

/// Events published in a second, by how many publishers, on how many of the nodes.
pub(super) const RATE: usize = 50_000;
pub(super) const PUBLISHERS: usize = 4;
pub(super) const PUBLISHING: usize = 2;

/// How long events flow before the outage, how long the outage is, and how long they flow after it.
const BEFORE: Duration = Duration::from_secs(2);
pub(super) const OUTAGE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(5);

/// How long nothing has to arrive until nothing more is expected.
const SETTLED: Duration = Duration::from_secs(6);

/// How long the first events may take to arrive at every node.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is away during the outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// The Redis: it is killed, and started again.
    Broker,
    /// The last node: its connections are reset, and those that it opens.
    LastNode,
}

/// The nodes of a contender.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contender {
    ByHand,
    Midplane(Config),
}

enum Nodes {
    ByHand(Vec<ByHand>),
    Midplane(Vec<NodeThread>, Vec<Audience>),
}

/// The node that a publisher is on.
pub(super) fn home(publisher: usize) -> usize {
    publisher % PUBLISHING
}

impl Contender {
    /// Starts a server and the nodes, and measures one outage.
    pub(super) fn run(self, away: Away) -> io::Result<Outcome> {
        let server = Server::redis();
        let proxy = Proxy::start(server.address());
        let start = Instant::now();
        let most = (BEFORE + OUTAGE + AFTER).as_secs() as usize * RATE * 5 / 4;
        let journals: Vec<_> = (0..NODES)
            .map(|_| Arc::new(Journal::new(start, most)))
            .collect();
        let urls = (0..NODES).map(|node| match away {
            Away::LastNode if node == NODES - 1 => server.url_at(proxy.address()),
            _ => server.url(),
        });
        let urls: Vec<String> = urls.collect();
        let nodes = self.start(&urls, &journals)?;
        let mut published: Vec<_> = (0..PUBLISHERS)
            .map(|_| Vec::with_capacity(most / PUBLISHERS))
            .collect();
        nodes.greet(start, &mut published, &journals)?;

        let ended = AtomicBool::new(false);
        let mut phases = Phases {
            begin: micros(start),
            ..Phases::default()
        };
        thread::scope(|scope| {
            let publishing = scope.spawn(|| nodes.publish(start, &mut published, &ended));
            thread::sleep(BEFORE);
            phases.down = micros(start);
            match away {
                Away::Broker => server.kill(),
                Away::LastNode => proxy.refuse(),
            }
            thread::sleep(OUTAGE);
            match away {
                Away::Broker => server.restart(),
                Away::LastNode => proxy.accept(),
            }
            phases.up = micros(start);
            thread::sleep(AFTER);
            ended.store(true, Ordering::Relaxed);
            let panicked = |_| Err(failed("the publisher panicked"));
            publishing.join().unwrap_or_else(panicked)
        })?;
        phases.end = micros(start);
        settle(&published, &journals);
        let others = match away {
            Away::Broker => NODES,
            Away::LastNode => NODES - 1,
        };
        let counters = nodes.counters();
        drop(nodes);
        Ok(Outcome::new(
            &published, &journals, phases, others, &counters,
        ))
    }

    fn start(self, urls: &[String], journals: &[Arc<Journal>]) -> io::Result<Nodes> {
        let all = urls.iter().zip(journals);
        match self {
            Self::ByHand => {
                let nodes = all.map(|(url, journal)| ByHand::start(url, journal.clone()));
                nodes.collect::<io::Result<_>>().map(Nodes::ByHand)
            }
            Self::Midplane(config) => {
                let nodes = all.map(|(url, journal)| {
                    let bus: Arc<dyn Bus> = Arc::new(Redis::new(url).map_err(failed)?);
                    let mut node = NodeThread::start(bus, config)?;
                    for publisher in 0..PUBLISHERS {
                        let journal = journal.clone();
                        let name = format!("subscriber-{publisher}");
                        node.attach(&name, &topic(publisher), move |event: &Event| {
                            journal.note(event.bytes());
                        })?;
                    }
                    Ok(node)
                });
                let nodes = nodes.collect::<io::Result<_>>()?;
                let audiences = (0..PUBLISHERS).map(|publisher| topic(publisher).into());
                Ok(Nodes::Midplane(nodes, audiences.collect()))
            }
        }
    }
}

impl Nodes {
    /// Publishes an event; false if it is refused.
    fn offer(&self, publisher: usize, number: usize) -> io::Result<bool> {
        let payload = payload(publisher, number);
        match self {
            Self::ByHand(nodes) => nodes[home(publisher)].publish(payload).map(|()| true),
            Self::Midplane(nodes, audiences) => {
                nodes[home(publisher)].offer(&audiences[publisher], &Event::binary(payload))
            }
        }
    }

    /// Publishes the next event of a publisher.
    fn next(
        &self,
        start: Instant,
        publisher: usize,
        published: &mut [Vec<Published>],
    ) -> io::Result<()> {
        let (at, number) = (micros(start), published[publisher].len());
        let accepted = self.offer(publisher, number)?;
        published[publisher].push(Published { at, accepted });
        Ok(())
    }

    /// Publishes now and then, until something of each publisher arrives at each node: all are there.
    fn greet(
        &self,
        start: Instant,
        published: &mut [Vec<Published>],
        journals: &[Arc<Journal>],
    ) -> io::Result<()> {
        let begin = Instant::now();
        let is_there = |journal: &Arc<Journal>| {
            journal.with(|arrivals| {
                (0..PUBLISHERS).all(|publisher| {
                    arrivals
                        .iter()
                        .any(|arrival| arrival.publisher == publisher)
                })
            })
        };
        while !journals.iter().all(is_there) {
            if begin.elapsed() > PATIENCE {
                return Err(failed("nothing arrives at a node"));
            }
            for publisher in 0..PUBLISHERS {
                self.next(start, publisher, published)?;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // What was published before a node was there is nobody's loss.
        for events in published.iter_mut() {
            let events = events.iter_mut();
            events.for_each(|event| event.accepted = false);
        }
        Ok(())
    }

    /// Publishes at the rate, the publishers in turn.
    fn publish(
        &self,
        start: Instant,
        published: &mut [Vec<Published>],
        ended: &AtomicBool,
    ) -> io::Result<()> {
        let begin = Instant::now();
        let mut sent = 0;
        while !ended.load(Ordering::Relaxed) {
            // What fell due during a sleep goes out together.
            let due = (begin.elapsed().as_secs_f64() * RATE as f64) as usize;
            while sent < due {
                self.next(start, sent % PUBLISHERS, published)?;
                sent += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn counters(&self) -> Vec<NodeCounters> {
        match self {
            Self::ByHand(_) => Vec::new(),
            Self::Midplane(nodes, _) => nodes.iter().map(NodeThread::counters).collect(),
        }
    }
}

/// Waits until every node has everything, or nothing has arrived for long.
fn settle(published: &[Vec<Published>], journals: &[Arc<Journal>]) {
    let events: usize = published.iter().map(Vec::len).sum();
    let mut before = Vec::new();
    let mut since = Instant::now();
    while since.elapsed() < SETTLED {
        let counts: Vec<usize> = journals.iter().map(|journal| journal.count()).collect();
        if counts.iter().all(|count| *count >= events) {
            return;
        }
        if counts != before {
            (before, since) = (counts, Instant::now());
        }
        thread::sleep(Duration::from_millis(10));
    }
}
