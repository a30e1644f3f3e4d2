//! What it costs a node to receive in order, beside decoding alone.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use instructions::topic;
use midplane::bus::{Lane, Limits};
use midplane::envelope::{Decoded, Frame, NodeId};
use midplane::node::{Config, Intake, Node, Queued};
use midplane::{Event, Instant, Scope};

use super::journal::SIZE;
use crate::across::failed;
use crate::race::{Call, compare};
use crate::report::{Goal, Report};

/// The events of a frame that gathers what was published while another was written.
const GATHERED: usize = 64;

const LIMITS: Limits = Limits::new(1 << 20);

/// The steps that two nodes take to know each other, and the time of a step.
const STEPS: u32 = 40;
const STEP: Duration = Duration::from_millis(50);

const FLOOR: &str = "decoding alone";
const OURS: &str = "midplane: Node::receive";

/// A node that publishes, one that receives, and their time.
struct Pair {
    now: Instant,
    nodes: [Node; 2],
    queued: Queued,
}

impl Pair {
    fn new() -> io::Result<Self> {
        let audience = topic(0).into();
        let event = Event::binary(vec![b'x'; SIZE]);
        let intake = Intake::new(1, LIMITS);
        let queued = intake.publish(Instant::ZERO, &Scope::default(), &audience, &event);
        let config = Config {
            keep: 0,
            ..Config::default()
        };
        let mut pair = Self {
            now: Instant::ZERO,
            nodes: [1, 2].map(|id| Node::new(NodeId([id; 16]), config, LIMITS)),
            queued: queued.map_err(failed)?,
        };
        let now = pair.now;
        pair.nodes.iter_mut().for_each(|node| node.connected(now));
        for _ in 0..STEPS {
            pair.step();
        }
        Ok(pair)
    }

    /// Lets the nodes do what is due after a step of time.
    fn step(&mut self) {
        self.now += STEP;
        for sender in [0, 1] {
            self.nodes[sender].tick(self.now);
            while let Some(sent) = self.nodes[sender].transmit(self.now) {
                for node in &mut self.nodes {
                    node.receive(self.now, sent.lane, &sent.frame);
                }
            }
        }
        self.take_news();
    }

    fn take_news(&mut self) {
        for node in &mut self.nodes {
            while node.news().is_some() {}
        }
    }

    /// The next frames of so many events each.
    fn frames(&mut self, count: usize, events: usize) -> Vec<Bytes> {
        self.step();
        let Self { now, nodes, queued } = self;
        let frames = (0..count).map(|_| {
            // A stamp is a microsecond later than the one before.
            *now += Duration::from_micros(1);
            for _ in 0..events {
                let since = *now;
                let queued = queued.clone();
                nodes[0].enqueue(Queued { since, ..queued });
            }
            nodes[0].transmit(*now).map(|sent| sent.frame)
        });
        frames.flatten().collect()
    }

    /// Receives so many frames of so many events each; gives the time that it took.
    fn receive(&mut self, count: usize, events: usize) -> Duration {
        let frames = self.frames(count, events);
        let (now, receiver) = (self.now, &mut self.nodes[1]);
        let start = Clock::now();
        let mut taken = 0;
        for frame in &frames {
            receiver.receive(now, Lane(0), frame);
            while let Some(news) = receiver.news() {
                black_box(news);
                taken += 1;
            }
        }
        let took = start.elapsed();
        assert_eq!(taken, count * events, "every event is delivered");
        took
    }

    /// Decodes so many frames; gives the time that it took.
    fn decode(&mut self, count: usize, events: usize) -> Duration {
        let frames = self.frames(count, events);
        let start = Clock::now();
        for frame in &frames {
            if let Ok(Decoded::Frame(frame)) = Frame::decode(frame, LIMITS.frame) {
                for message in frame.messages() {
                    let _ = black_box(message);
                }
            }
        }
        let took = start.elapsed();
        // The receiver is to know what was sent.
        frames
            .iter()
            .for_each(|frame| self.nodes[1].receive(self.now, Lane(0), frame));
        self.take_news();
        took
    }
}

pub(super) fn run(report: &mut Report) -> io::Result<()> {
    for events in [1, GATHERED] {
        let (mut decoding, mut receiving) = (Pair::new()?, Pair::new()?);
        let decode = Call::new(1, move |count| decoding.decode(count, events));
        let receive = Call::new(1, move |count| receiving.receive(count, events));
        let what = match events {
            1 => "one event".to_owned(),
            events => format!("{events} events"),
        };
        let title = format!("receiving a frame of {what} in order");
        let contenders = vec![(FLOOR, decode), (OURS, receive)];
        let figures = compare(report, &title, "frame", contenders)?;
        let ratio = figures.to_floor(OURS);
        let goal = Goal::new(title, figures.of(OURS), "ns").floor(figures.floor());
        report.goal(goal.ratio_at_most(ratio, 1.5, FLOOR));
    }
    Ok(())
}
