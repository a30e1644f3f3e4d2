//! Whole clusters over the memory bus, in virtual time.

use std::future::Future;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use midplane::mailbox::{Capacity, Item, Overflow};
use midplane::{Cluster, ClusterBuilder, Memory, mailbox};
use midplane_core::bus::{Bus, Lane, Outbound};
use midplane_core::envelope::{FrameWriter, Header, Message, NodeId};
use midplane_core::node::Config;
use midplane_core::{
    Attachment, Audience, Backplane, ConnectionId, Event, Missed, Notice, Relay, State, Target,
};
use midplane_testkit::Random;
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::tasks::{ProcessId, Tasks};

use crate::door::{Behind, Door};

pub(crate) struct World {
    pub(crate) clock: VirtualClock,
    pub(crate) tasks: Tasks,
    pub(crate) memory: Memory,
    nodes: u8,
}

/// A node with its driver running.
pub(crate) struct Member {
    pub(crate) plane: Cluster,
    pub(crate) door: Arc<Door>,
    pub(crate) process: ProcessId,
    notices: Arc<Mutex<Vec<Notice>>>,
}

/// A connection whose reader takes at once what comes.
pub(crate) struct Client {
    _attachment: Arc<Attachment>,
    items: Arc<Mutex<Vec<Item>>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let clock = VirtualClock::default();
        Self {
            tasks: Tasks::new(clock.clone(), Random::new(seed)),
            clock,
            memory: Memory::new().with_queue(256 << 20),
            nodes: 0,
        }
    }

    /// A world of so many nodes, all live.
    pub(crate) fn live(seed: u64, nodes: usize, config: Config) -> (Self, Vec<Member>) {
        let mut world = Self::new(seed);
        let members: Vec<Member> = (0..nodes).map(|_| world.start(config)).collect();
        world.run(config.heartbeat * 3);
        for member in &members {
            assert_eq!(member.plane.state(), State::Live);
        }
        (world, members)
    }

    pub(crate) fn start(&mut self, config: Config) -> Member {
        self.start_behind(config, Door::default())
    }

    pub(crate) fn start_behind(&mut self, config: Config, door: Door) -> Member {
        let memory = self.memory.clone();
        self.start_as(config, door, (memory, None), |builder| builder)
    }

    /// A node on this broker, which says that it is this one, with parts of its own.
    pub(crate) fn start_as(
        &mut self,
        config: Config,
        door: Door,
        (memory, broker): (Memory, Option<&str>),
        add: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
    ) -> Member {
        self.nodes += 1;
        let (id, process) = (NodeId([self.nodes; 16]), ProcessId(self.nodes.into()));
        door.deaf_on.store(u32::MAX, SeqCst);
        let door = Arc::new(door);
        let bus = Behind {
            memory,
            clock: self.clock.clone(),
            door: door.clone(),
            broker: broker.map(String::from),
        };
        let timer = Arc::new(self.clock.clone());
        let (plane, driver) = add(Cluster::builder(config)).build(id, Arc::new(bus), timer);
        self.tasks.spawn(process, driver);
        let notices = Arc::default();
        let mut listener = plane.notices();
        let kept: Arc<Mutex<Vec<Notice>>> = Arc::clone(&notices);
        self.tasks.spawn(process, async move {
            while let Some(notice) = listener.next().await {
                kept.lock().unwrap().push(notice);
            }
        });
        Member {
            plane,
            door,
            process,
            notices,
        }
    }

    /// Lets this time pass.
    pub(crate) fn run(&self, duration: Duration) {
        self.tasks.run(self.clock.elapsed() + duration);
    }

    /// Lets time pass until the future is done, an hour at most.
    pub(crate) fn complete<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> (T, Duration) {
        let (done, clock) = (Arc::new(Mutex::new(None)), self.clock.clone());
        let place = done.clone();
        let begin = clock.elapsed();
        self.tasks.spawn(ProcessId(0), async move {
            let value = future.await;
            *place.lock().unwrap() = Some((value, clock.elapsed() - begin));
        });
        for _ in 0..36_000 {
            if let Some(done) = done.lock().unwrap().take() {
                return done;
            }
            self.run(Duration::from_millis(100));
        }
        panic!("nothing within an hour");
    }

    /// Sends a message that has no number, of a kind that nobody knows, as this node.
    pub(crate) fn send_unknown(&self, node: &Member, kind: u8) {
        let stamp = self.clock.elapsed();
        let header = Header {
            stamp,
            before: stamp,
            ..Header::new(node.plane.id(), 0, 0)
        };
        let mut writer = FrameWriter::new(header, 1 << 10).unwrap();
        let body = Bytes::from_static(b"?");
        writer.push(&Message::Unknown { kind, body }).unwrap();
        let outbound = Outbound {
            lane: Lane(0),
            frame: writer.finish(),
            echo: false,
        };
        let memory = self.memory.clone();
        self.complete(async move {
            let mut link = memory.connect().await.unwrap();
            link.transmit.send(&[outbound]).await.unwrap();
        });
    }

    /// The bus is gone for this time.
    pub(crate) fn outage(&self, duration: Duration) {
        self.memory.block();
        self.run(duration);
        self.memory.unblock();
    }
}

pub(crate) fn topic(name: &str) -> Target {
    Target::topic(name).unwrap()
}

impl Member {
    /// Publishes to a topic; it must be queued for the others.
    pub(crate) fn publish(&self, to: &str, text: impl Into<String>) {
        let audience = Audience::from(topic(to));
        let receipt = self.plane.publish(&audience, &Event::text(text.into()));
        assert_eq!(receipt.relay, Relay::Queued);
    }

    /// A connection in these topics with a mailbox of the default size. Nobody waits for the associations.
    pub(crate) fn client(&self, world: &World, name: &str, topics: &[&str]) -> Client {
        self.client_with(world, name, topics, Capacity::default())
    }

    /// A connection in these topics with a mailbox of this size.
    pub(crate) fn client_with(
        &self,
        world: &World,
        name: &str,
        topics: &[&str],
        capacity: Capacity,
    ) -> Client {
        let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropOldest);
        let id = ConnectionId::new(name).unwrap();
        let attachment = Arc::new(self.plane.attach(id, sender.into_sink()));
        for name in topics {
            let associated = attachment.associate(&topic(name));
            world.tasks.spawn(self.process, async move {
                let _ = associated.await;
            });
        }
        let items: Arc<Mutex<Vec<Item>>> = Arc::default();
        let kept = items.clone();
        world.tasks.spawn(self.process, async move {
            let mut batch = Vec::new();
            while receiver.batch(&mut batch, 64).await > 0 {
                kept.lock().unwrap().append(&mut batch);
            }
        });
        Client {
            _attachment: attachment,
            items,
        }
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap().clone()
    }

    /// The notices that something may be missing.
    pub(crate) fn losses(&self) -> Vec<String> {
        let notices = self.notices();
        let words = notices.iter().map(|notice| format!("{notice:?}"));
        let loss = |word: &String| {
            let kinds = ["Gap", "Deaf", "Missed", "Lagged"];
            kinds.iter().any(|kind| word.starts_with(kind))
        };
        words.filter(loss).collect()
    }
}

impl Client {
    pub(crate) fn texts(&self) -> Vec<String> {
        let items = self.items.lock().unwrap();
        let texts = items.iter().filter_map(|item| match item {
            Item::Event(event) => Some(event.as_text().unwrap().to_owned()),
            _ => None,
        });
        texts.collect()
    }

    /// What came beside events: overruns of the mailbox, and that something may be missing.
    pub(crate) fn losses(&self) -> Vec<String> {
        let items = self.items.lock().unwrap();
        let others = items.iter().filter(|item| !matches!(item, Item::Event(_)));
        others.map(|item| format!("{item:?}")).collect()
    }

    /// The texts of the events, and `missed` where something may be.
    pub(crate) fn words(&self) -> Vec<String> {
        let items = self.items.lock().unwrap();
        let words = items.iter().map(|item| match item {
            Item::Event(event) => event.as_text().unwrap().to_owned(),
            Item::Missed(_) => String::from("missed"),
            other => format!("{other:?}"),
        });
        words.collect()
    }

    /// The reports that something may be missing.
    pub(crate) fn missed(&self) -> Vec<Missed> {
        let items = self.items.lock().unwrap();
        let missed = items.iter().filter_map(|item| match item {
            Item::Missed(missed) => Some(**missed),
            _ => None,
        });
        missed.collect()
    }

    pub(crate) fn forget(&self) {
        self.items.lock().unwrap().clear();
    }

    /// Fails unless these texts came, in this order, and nothing else.
    pub(crate) fn assert_got(&self, expected: &[String]) {
        let (texts, losses) = (self.texts(), self.losses());
        if texts == expected && losses.is_empty() {
            return;
        }
        let missing = expected.iter().filter(|text| !texts.contains(text));
        panic!(
            "{} of {} came, {} are missing, in order: {}, told: {losses:?}",
            texts.len(),
            expected.len(),
            missing.count(),
            texts.is_sorted_by_key(|text| expected.iter().position(|other| other == text)),
        );
    }
}

/// The names of events that a test counts through.
pub(crate) fn numbered(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("event {number}."))
        .collect()
}

/// A config with this many lanes.
pub(crate) fn lanes(lanes: u32) -> Config {
    Config {
        lanes,
        ..Config::default()
    }
}
