//! The node protocol, step by step, where the simulation does not look.

use std::iter;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::bus::{Lane, Limits};
use midplane_core::envelope::{FrameWriter, Header, Heartbeat, Introduction, Message, NodeId};
use midplane_core::node::{Config, Intake, News, Node, Run};
use midplane_core::{AgreedSettings, Audience, Event, Instant, Refusal, Scope, Target, TooLarge};

const LIMITS: Limits = Limits::new(1_024);
const INTAKE: Intake = Intake::new(1, LIMITS);

/// Two nodes on a perfect bus, and their common clock.
struct Pair {
    now: Instant,
    nodes: [Node; 2],
}

impl Pair {
    /// Both live, all news taken.
    fn new(config: Config) -> Self {
        let nodes = [1, 2].map(|id| Node::new(NodeId([id; 16]), config, LIMITS));
        let mut pair = Self {
            now: Instant::ZERO,
            nodes,
        };
        for node in &mut pair.nodes {
            node.connected(pair.now);
        }
        pair.pass();
        pair.nodes.iter_mut().for_each(|node| drop(taken(node)));
        assert!(pair.nodes.iter().all(Node::is_live));
        pair
    }

    /// Time passes until everything is reported, with nothing lost.
    fn pass(&mut self) {
        self.pass_and(|_| {});
    }

    /// Time passes as in [`pass`](Self::pass), and the second node's news is taken meanwhile.
    fn pass_and(&mut self, mut take: impl FnMut(&mut Node)) {
        for _ in 0..100 {
            self.now += Duration::from_millis(50);
            for sender in [0, 1] {
                self.nodes[sender].tick(self.now);
                while let Some(frame) = self.sent(sender) {
                    let now = self.now;
                    for node in &mut self.nodes {
                        node.receive(now, Lane(0), &frame);
                    }
                    take(&mut self.nodes[1]);
                }
            }
        }
    }

    fn publish(&mut self, sender: usize, text: &str) -> Result<(), Refusal> {
        let event = Event::text(text);
        let queued = INTAKE.publish(self.now, &Scope::default(), &audience(), &event)?;
        self.nodes[sender].enqueue(queued);
        Ok(())
    }

    fn sent(&mut self, sender: usize) -> Option<Bytes> {
        self.nodes[sender].transmit(self.now).map(|sent| sent.frame)
    }
}

fn audience() -> Audience {
    Target::topic("t").unwrap().into()
}

fn taken(node: &mut Node) -> Vec<News> {
    iter::from_fn(|| node.news()).collect()
}

#[test]
fn news_that_nobody_takes_costs_the_link_and_is_repaired() {
    let config = Config {
        queue: 8_192,
        ..Config::default()
    };
    let mut pair = Pair::new(config);
    for number in 0..100 {
        pair.publish(0, &format!("{number:0700}")).unwrap();
        let frame = pair.sent(0).unwrap();
        pair.nodes[1].receive(pair.now, Lane(0), &frame);
    }
    let news = taken(&mut pair.nodes[1]);
    assert!(news.len() <= 12, "{} are kept", news.len());
    assert_eq!(news[news.len() - 2..], [News::Down, News::Reconnect]);
    assert_eq!(pair.nodes[1].counters().overflows, 1);

    pair.nodes[1].connected(pair.now);
    let mut events = events(&news);
    pair.pass_and(|receiver| events.extend(self::events(&taken(receiver))));
    let published: Vec<String> = (0..100).map(|number| format!("{number:0700}")).collect();
    assert_eq!(events, published);
}

#[test]
fn a_lane_that_was_never_used_is_not_missed() {
    let lanes = 2;
    let mut pair = Pair::new(Config {
        lanes,
        ..Config::default()
    });
    pair.nodes[1].subscribed(pair.now, Lane(1));
    // The heartbeats list every lane that was used within three heartbeats and a time to live.
    for _ in 0..12 {
        pair.publish(0, "on lane 0").unwrap();
        pair.pass();
    }
    assert_eq!(events(&taken(&mut pair.nodes[1])).len(), 12);
}

#[test]
fn a_slow_lane_costs_no_link() {
    let lanes = 2;
    let mut pair = Pair::new(Config {
        lanes,
        ..Config::default()
    });
    pair.nodes[1].subscribed(pair.now, Lane(1));
    let message = Message::Publish {
        scope: Scope::default(),
        audience: audience(),
        event: Event::text("late"),
    };
    let queued = Intake::new(lanes, LIMITS).message(pair.now, Lane(1), &message);
    pair.nodes[0].enqueue(queued.unwrap());
    let slow = Duration::from_secs(9);
    let mut on_its_way = Vec::new();
    for _ in 0..400 {
        pair.now += Duration::from_millis(50);
        let now = pair.now;
        for sender in [0, 1] {
            pair.nodes[sender].tick(now);
            while let Some(sent) = pair.nodes[sender].transmit(now) {
                let late = if sent.lane == Lane(0) {
                    Duration::ZERO
                } else {
                    slow
                };
                on_its_way.push((now + late, sent));
            }
        }
        let (due, later): (Vec<_>, Vec<_>) =
            on_its_way.into_iter().partition(|(due, _)| *due <= now);
        on_its_way = later;
        for (_, sent) in due {
            pair.nodes
                .iter_mut()
                .for_each(|node| node.receive(now, sent.lane, &sent.frame));
        }
    }
    let news = taken(&mut pair.nodes[1]);
    assert!(!news.contains(&News::Reconnect), "{news:?}");
    assert_eq!(events(&news), ["late"]);
}

/// The texts of the events among the news, which has nothing of events that are missing.
fn events(news: &[News]) -> Vec<String> {
    let texts = news.iter().filter_map(|news| match news {
        News::Event { event, .. } => Some(event.as_text().unwrap().to_owned()),
        News::Gap { .. } | News::Deaf { .. } => panic!("{news:?}"),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_frame_of_which_nothing_is_delivered_is_one_gap() {
    let mut pair = Pair::new(Config::default());
    for _ in 0..20 {
        let body = Bytes::from_static(b"of a later release");
        let message = Message::Unknown { kind: 99, body };
        let queued = INTAKE.message(pair.now, Lane(0), &message).unwrap();
        pair.nodes[0].enqueue(queued);
    }
    pair.publish(0, "known").unwrap();
    let frame = pair.sent(0).unwrap();
    pair.nodes[1].receive(pair.now, Lane(0), &frame);
    let news = taken(&mut pair.nodes[1]);
    let [News::Gap { run, .. }, News::Event { event, .. }] = &*news else {
        panic!("{news:?}");
    };
    let Run { first, last } = *run;
    assert_eq!(last - first + 1, 20);
    assert_eq!(event, &Event::text("known"));
    assert_eq!(pair.nodes[1].counters().unknown_kinds, 20);
}

#[test]
fn what_waits_goes_out_in_one_frame_or_expires() {
    let mut pair = Pair::new(Config::default());
    for _ in 0..3 {
        pair.publish(0, "one").unwrap();
    }
    assert_eq!(pair.nodes[0].queued(), 3);
    pair.sent(0).unwrap();
    assert_eq!(pair.nodes[0].queued(), 0);
    assert_eq!(pair.nodes[0].queued_bytes(), 0);

    pair.publish(0, "late").unwrap();
    pair.now += Config::default().time_to_live + Duration::from_secs(1);
    assert_eq!(pair.sent(0), None);
    assert_eq!(pair.nodes[0].queued(), 0);
    assert_eq!(pair.nodes[0].counters().expired, 1);
}

#[test]
fn what_does_not_fit_is_refused_with_its_size() {
    let mut pair = Pair::new(Config::default());
    let refused = pair.publish(0, &"x".repeat(1_024));
    assert!(
        matches!(refused, Err(Refusal::TooLarge(TooLarge { bytes, limit: 1_024 })) if bytes > 1_024),
        "{refused:?}"
    );
    assert_eq!(pair.nodes[0].queued(), 0);
}

/// As many nodes on a perfect bus as there are ids, which go up one after the other within this time; gives
/// how many frames each sent meanwhile.
fn go_up(nodes: &mut [Node], now: &mut Instant, within: Duration) -> Vec<usize> {
    let step = within / nodes.len() as u32;
    let mut sent = vec![0; nodes.len()];
    for next in 0..nodes.len() {
        *now += step;
        nodes[next].connected(*now);
        exchange(nodes, *now, &mut sent);
    }
    sent
}

/// Every node does what is due, and everyone gets what is sent.
fn exchange(nodes: &mut [Node], now: Instant, sent: &mut [usize]) {
    for sender in 0..nodes.len() {
        nodes[sender].tick(now);
        while let Some(outbound) = nodes[sender].transmit(now) {
            sent[sender] += 1;
            for node in &mut *nodes {
                node.receive(now, outbound.lane, &outbound.frame);
                drop(taken(node));
            }
        }
    }
}

fn many() -> Vec<Node> {
    let new = |id| Node::new(NodeId([id; 16]), Config::default(), Limits::new(8_192));
    (0..64).map(new).collect()
}

#[test]
fn many_nodes_that_greet_each_other_are_not_answered_by_all_each_time() {
    let (mut now, mut nodes) = (Instant::ZERO, many());
    let heartbeat = Config::default().heartbeat;
    go_up(&mut nodes, &mut now, heartbeat);
    for _ in 0..80 {
        now += heartbeat / 40;
        let mut sent = vec![0; nodes.len()];
        exchange(&mut nodes, now, &mut sent);
    }
    assert!(nodes.iter().all(|node| node.members().count() == 63));
    // The bus is gone for a moment, and all of them greet. Few would answer 16 times within a heartbeat; of so
    // many each does a third of that, greets, and has one heartbeat before.
    let sent = go_up(&mut nodes, &mut now, heartbeat);
    assert!(sent.iter().all(|sent| *sent <= 8), "{sent:?}");
}

#[test]
fn a_node_that_comes_to_many_knows_them_when_it_is_live() {
    // Those who sent a heartbeat just before it came answer last, and when that was is all the same to it.
    for step in (40..50).step_by(2) {
        let (mut now, mut nodes) = (Instant::ZERO, many());
        let heartbeat = Config::default().heartbeat;
        let late = nodes.pop().unwrap();
        go_up(&mut nodes, &mut now, heartbeat);
        let mut sent = vec![0; nodes.len() + 1];
        for _ in 0..step {
            now += heartbeat / 40;
            exchange(&mut nodes, now, &mut sent);
        }
        nodes.push(late);
        let last = nodes.len() - 1;
        nodes[last].connected(now);
        while !nodes[last].is_live() {
            now += heartbeat / 40;
            exchange(&mut nodes, now, &mut sent);
        }
        assert_eq!(nodes[last].members().count(), last, "{step}");
    }
}

/// The names of the nodes that were heard take turns, so that a heartbeat stays as small beside a thousand as beside forty.
#[test]
fn a_heartbeat_among_a_thousand_nodes_is_a_kibibyte() {
    let limits = Limits::new(1 << 16);
    let id = |number: u16| {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&number.to_le_bytes());
        NodeId(id)
    };
    let mut node = Node::new(id(0), Config::default(), limits);
    node.introduce(&"n".repeat(32), &"c".repeat(16), true);
    node.connected_to(&"b".repeat(48));
    // What a clock shows after a year.
    let mut now = Instant::from_origin(Duration::from_secs(31_536_000));
    node.connected(now);
    let (mut largest, mut beats) = (0, 0);
    for _ in 0..100 {
        now += Duration::from_millis(100);
        for other in 1..=1_000 {
            let stamp = now.since_origin();
            let header = Header {
                stamp,
                before: stamp,
                ..Header::new(id(other), 0, 0)
            };
            let mut writer = FrameWriter::new(header, 1 << 10).unwrap();
            writer
                .push(&Message::Heartbeat(Heartbeat::default()))
                .unwrap();
            node.receive(now, Lane(0), &writer.finish());
        }
        drop(taken(&mut node));
        node.tick(now);
        while let Some(sent) = node.transmit(now) {
            node.receive(now, sent.lane, &sent.frame);
            (largest, beats) = (largest.max(sent.frame.len()), beats + 1);
        }
    }
    assert!(beats > 4 && node.peers() == 1_000);
    assert!((900..=1_152).contains(&largest), "{largest} bytes");
}

/// The shortest of some rounds of 200 frames, each of a new name that introduces itself, where this number of names is known.
fn time_of_made_up_names(known: u32) -> Duration {
    let limits = Limits::new(1 << 16);
    let config = Config {
        peers: known as usize,
        ..Config::default()
    };
    let mut node = Node::new(NodeId([1; 16]), config, limits);
    let now = Instant::from_origin(Duration::from_secs(1));
    node.connected(now);
    let mut number = 0_u32;
    let mut receive = |node: &mut Node, names: u32| {
        for _ in 0..names {
            number += 1;
            let mut name = [7; 16];
            name[..4].copy_from_slice(&number.to_le_bytes());
            let header = Header {
                stamp: Duration::from_secs(9),
                ..Header::new(NodeId(name), 0, 0)
            };
            let introduction = Introduction::new(AgreedSettings {
                lanes: 2,
                heartbeat: config.heartbeat,
                time_to_live: config.time_to_live,
                json_lane: false,
                signing: None,
            });
            let mut writer = FrameWriter::new(header, 1 << 10).unwrap();
            for message in [
                Message::Introduction(introduction),
                Message::Heartbeat(Heartbeat::default()),
            ] {
                writer.push(&message).unwrap();
            }
            node.receive(now, Lane(0), &writer.finish());
        }
    };
    receive(&mut node, known);
    let rounds = (0..20).map(|_| {
        let started = std::time::Instant::now();
        receive(&mut node, 200);
        started.elapsed()
    });
    let shortest = rounds.min().unwrap();
    assert_eq!(node.peers(), known as usize);
    shortest
}

/// A search through all that are known would take 256 times as long.
#[test]
fn a_made_up_name_costs_the_same_however_many_are_known() {
    let (few, many) = (time_of_made_up_names(64), time_of_made_up_names(16_384));
    assert!(many < few * 10, "{few:?} and {many:?}");
}
