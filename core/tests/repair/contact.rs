//! Whether members and a node hear each other: what a node says of itself while they do not, and who is ready then.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use midplane::{ClusterBuilder, Memory};
use midplane_core::envelope::NodeId;
use midplane_core::node::Config;
use midplane_core::{Audience, Backplane, LaneMap, Notice, Reason, Scope, State};

use crate::door::Door;
use crate::wire::{ms, secs};
use crate::world::{Member, World, numbered, topic};

const HEARTBEAT: Duration = Duration::from_secs(2);

/// Within this time a node says that a member is not heard, or that it is not heard by one: two heartbeats and an eighth
/// after the last frame came, the way of the heartbeat that says so, and a sample.
const SAID: Duration = Duration::from_millis(4_600);

/// Nodes that are called after their numbers.
struct Fleet {
    world: World,
    nodes: Vec<Member>,
}

impl Fleet {
    fn new(seed: u64, nodes: usize, config: Config) -> Self {
        let mut world = World::new(seed);
        let mut start = |number| {
            let memory = world.memory.clone();
            let name = format!("web-{number}");
            let door = Door::default();
            world.start_as(config, door, (memory, None), |builder| {
                builder.with_name(name)
            })
        };
        let nodes = (0..nodes).map(&mut start).collect();
        // The first heartbeats are answered at once: from then on all are a heartbeat apart.
        world.run(secs(11));
        let fleet = Self { world, nodes };
        fleet.assert_well();
        fleet
    }

    /// One more node, which does not hear the first.
    fn add_deaf(&mut self) -> Member {
        let door = Door::default();
        door.deaf_to.lock().unwrap().push(self.id(0));
        let memory = self.world.memory.clone();
        let name = format!("web-{}", self.nodes.len());
        let add = |builder: ClusterBuilder| builder.with_name(name);
        let config = Config::default();
        self.world.start_as(config, door, (memory, None), add)
    }

    fn id(&self, node: usize) -> NodeId {
        self.nodes[node].plane.id()
    }

    /// Frames of the one do not come to the other.
    fn cut(&self, from: usize, to: usize) {
        let origin = self.id(from);
        self.nodes[to].door.deaf_to.lock().unwrap().push(origin);
    }

    fn heal(&self) {
        for node in &self.nodes {
            node.door.deaf_to.lock().unwrap().clear();
        }
    }

    fn reasons(&self, node: usize) -> Vec<String> {
        let reasons = self.nodes[node].plane.status().reasons;
        reasons.iter().map(ToString::to_string).collect()
    }

    fn is_ready(&self, node: usize) -> bool {
        self.nodes[node].plane.status().ready
    }

    fn ready(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|node| self.is_ready(*node))
            .collect()
    }

    fn state(&self, node: usize) -> State {
        self.nodes[node].plane.state()
    }

    fn assert_well(&self) {
        for node in 0..self.nodes.len() {
            assert_eq!(
                self.state(node),
                State::Live,
                "{node}: {:?}",
                self.reasons(node)
            );
            assert_eq!(self.reasons(node), [""; 0], "{node}");
            assert!(self.is_ready(node), "{node}");
        }
    }

    fn silences(&self, node: usize) -> usize {
        let notices = self.nodes[node].notices().into_iter();
        notices
            .filter(|notice| matches!(notice, Notice::Silent(_)))
            .count()
    }
}

#[test]
fn one_way_cut_is_said_within_two_heartbeats() {
    for (seed, nodes) in [(1, 2), (2, 3), (3, 8)] {
        let fleet = Fleet::new(seed, nodes, Config::default());
        let client = fleet.nodes[1].client(&fleet.world, "c", &["t"]);
        fleet.world.run(secs(1));
        fleet.cut(0, 1);
        fleet.nodes[0].publish("t", "missed");
        fleet.world.run(SAID);
        assert_eq!(fleet.reasons(0), ["not heard by web-1"]);
        let other = match nodes {
            2 => "web-0 is silent and said no goodbye",
            _ => "web-0 is heard by others and not here",
        };
        // That others hear it is known with their next heartbeat.
        fleet.world.run(HEARTBEAT);
        assert_eq!(fleet.reasons(1), [other]);
        for node in 0..nodes {
            let state = if node < 2 {
                State::Degraded
            } else {
                State::Live
            };
            assert_eq!(fleet.state(node), state, "{node}");
        }
        let ready = match nodes {
            // Who is not heard gives way to who does not hear: it cannot give way itself.
            2 => vec![1],
            _ => (0..nodes).filter(|node| *node != 1).collect(),
        };
        assert_eq!(fleet.ready(), ready);
        fleet.heal();
        fleet.world.run(HEARTBEAT * 2);
        fleet.assert_well();
        assert_eq!(
            (client.texts(), client.losses()),
            (vec!["missed".to_owned()], vec![])
        );
    }
}

#[test]
fn a_crash_leaves_the_others_ready() {
    let fleet = Fleet::new(4, 3, Config::default());
    let clients = [0, 1].map(|node| fleet.nodes[node].client(&fleet.world, "c", &["t"]));
    fleet.world.run(secs(1));
    fleet.world.tasks.kill(fleet.nodes[2].process);
    fleet.world.run(SAID);
    for node in [0, 1] {
        assert_eq!(fleet.state(node), State::Degraded);
        assert_eq!(fleet.reasons(node), ["web-2 is silent and said no goodbye"]);
        assert_eq!((fleet.is_ready(node), fleet.silences(node)), (true, 1));
        assert_eq!(
            clients[node].losses().len(),
            0,
            "the loss is not certain yet"
        );
    }
    // The loss is certain at the time to live, and all is said then.
    fleet.world.run(Config::default().time_to_live);
    for (node, client) in clients.iter().enumerate() {
        assert_eq!(client.missed().len(), 1);
        assert_eq!((fleet.state(node), fleet.silences(node)), (State::Live, 1));
        assert!(fleet.is_ready(node) && fleet.reasons(node).is_empty());
    }
}

#[test]
fn a_goodbye_is_no_silence() {
    let fleet = Fleet::new(5, 3, Config::default());
    let plane = fleet.nodes[2].plane.clone();
    let closed = fleet
        .world
        .complete(async move { plane.close(secs(5)).await.unsent });
    assert_eq!(closed.0, 0);
    for _ in 0..60 {
        fleet.world.run(secs(1));
        for node in [0, 1] {
            assert_eq!((fleet.state(node), fleet.silences(node)), (State::Live, 0));
        }
    }
}

#[test]
fn one_deaf_node_takes_one_out() {
    let fleet = Fleet::new(6, 5, Config::default());
    fleet.cut(0, 4);
    fleet.cut(1, 4);
    fleet.world.run(SAID + HEARTBEAT * 2);
    assert_eq!(fleet.ready(), [0, 1, 2, 3], "{:?}", fleet.reasons(4));
    let deaf = |name| format!("{name} is heard by others and not here");
    assert_eq!(fleet.reasons(4), [deaf("web-0"), deaf("web-1")]);
    for _ in 0..30 {
        fleet.world.run(secs(1));
        assert_eq!(fleet.ready(), [0, 1, 2, 3]);
    }
    fleet.heal();
    fleet.world.run(HEARTBEAT * 2);
    fleet.assert_well();
}

#[test]
fn a_ring_of_cuts_keeps_one_ready() {
    for (seed, nodes) in [(7, 2), (8, 3), (9, 4), (10, 7)] {
        let fleet = Fleet::new(seed, nodes, Config::default());
        for node in 0..nodes {
            fleet.cut(node, (node + 1) % nodes);
        }
        for _ in 0..200 {
            fleet.world.run(ms(100));
            assert!(!fleet.ready().is_empty(), "{nodes} nodes");
        }
        fleet.heal();
        fleet.world.run(HEARTBEAT * 2);
        fleet.assert_well();
    }
}

#[test]
fn a_stalled_broker_accuses_nobody() {
    for (seed, stalled) in [(11, 1), (12, 3), (13, 5), (14, 20)] {
        let fleet = Fleet::new(seed, 4, Config::default());
        fleet.world.outage(secs(stalled));
        fleet.world.run(secs(10));
        for node in 0..4 {
            assert_eq!(fleet.silences(node), 0, "after {stalled} s");
        }
        fleet.assert_well();
    }
}

/// Nodes that knew each other find themselves on two brokers.
#[test]
fn halves_of_a_broker_know_it() {
    for expected_members in [0, 3] {
        let config = Config {
            expected_members,
            ..Config::default()
        };
        let fleet = Fleet::new(15, 4, config);
        for (left, right) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            fleet.cut(left, right);
            fleet.cut(right, left);
        }
        fleet.world.run(SAID);
        for node in 0..4 {
            assert_eq!(fleet.state(node), State::Degraded);
            assert_eq!(fleet.silences(node), 2);
            let few = "2 of 3 expected members are heard";
            let silent = |name| format!("web-{name} is silent and said no goodbye");
            let other = if node < 2 { [2, 3] } else { [0, 1] };
            let mut said: Vec<String> = other.map(silent).to_vec();
            if expected_members > 0 {
                said.insert(0, few.to_owned());
            }
            assert_eq!(fleet.reasons(node), said);
            assert_eq!(fleet.is_ready(node), expected_members == 0);
        }
        // Who never meets again goes on without, unless it is told better.
        fleet.world.run(secs(120));
        let ready: &[usize] = if expected_members == 0 {
            &[0, 1, 2, 3]
        } else {
            &[]
        };
        assert_eq!(fleet.ready(), ready);
        fleet.heal();
        fleet.world.run(secs(10));
        fleet.assert_well();
    }
}

#[test]
fn expected_members_on_two_brokers_that_never_meet() {
    let config = Config {
        expected_members: 3,
        ..Config::default()
    };
    let mut world = World::new(16);
    let (here, there) = (world.memory.clone(), Memory::new());
    let mut start = |memory: &Memory| {
        world.start_as(config, Door::default(), (memory.clone(), None), |builder| {
            builder
        })
    };
    let mut nodes = vec![start(&here), start(&here)];
    let lone = start(&there);
    world.run(secs(10));
    for (node, heard) in [(&nodes[0], 2), (&nodes[1], 2), (&lone, 1)] {
        let status = node.plane.status();
        assert_eq!((status.state, status.ready), (State::Degraded, false));
        let expected = 3;
        assert_eq!(status.reasons, [Reason::Few { heard, expected }]);
    }
    nodes.push(world.start_as(config, Door::default(), (here, None), |builder| builder));
    world.run(secs(5));
    for node in &nodes {
        let status = node.plane.status();
        assert_eq!((status.state, status.ready), (State::Live, true));
        assert_eq!(status.reasons, []);
    }
}

/// A newcomer that does not hear a node proves nothing to it: what it publishes is not taken there, and that is told.
#[test]
fn a_one_way_cut_from_the_start_on_is_said_and_told() {
    let mut fleet = Fleet::new(18, 2, Config::default());
    let newcomer = fleet.add_deaf();
    let clients = [&fleet.nodes[0], &newcomer].map(|node| node.client(&fleet.world, "c", &["t"]));
    fleet.world.run(secs(5));
    newcomer.publish("t", "of web-2");
    fleet.nodes[0].publish("t", "of web-0");
    fleet.world.run(secs(45));
    assert_eq!(fleet.reasons(0), ["not heard by web-2"]);
    assert_eq!(fleet.state(0), State::Degraded);
    for (client, own) in clients.iter().zip(["of web-0", "of web-2"]) {
        assert_eq!(client.texts(), [own]);
        assert!(!client.missed().is_empty());
    }
    // It is no fault of the nodes that are heard.
    assert_eq!(fleet.ready(), [0, 1]);
    newcomer.door.deaf_to.lock().unwrap().clear();
    fleet.world.run(secs(10));
    fleet.assert_well();
    newcomer.publish("t", "heard");
    fleet.world.run(secs(5));
    assert_eq!(clients[0].texts(), ["of web-0", "heard"]);
}

/// What it publishes is told as missed all along, so that its end is not waited for as long as that of a member.
#[test]
fn a_node_that_never_heard_another_and_died_is_told_within_four_heartbeats() {
    for (seed, nodes) in [(18, 1), (19, 2)] {
        for dies in [true, false] {
            let mut fleet = Fleet::new(seed, nodes, Config::default());
            let newcomer = fleet.add_deaf();
            let client = fleet.nodes[0].client(&fleet.world, "c", &["t"]);
            fleet.world.run(secs(45));
            let name = format!("not heard by web-{nodes}");
            assert_eq!(fleet.reasons(0), [name.as_str()]);
            fleet.world.run(secs(5));
            let told = client.missed().len();
            newcomer.publish("t", "its last");
            fleet.world.run(ms(10));
            let deaf_to = &fleet.nodes[0].door.deaf_to;
            match dies {
                true => fleet.world.tasks.kill(newcomer.process),
                false => deaf_to.lock().unwrap().push(newcomer.plane.id()),
            }
            fleet.world.run(HEARTBEAT * 4);
            // Others that hear it say so.
            if dies || nodes == 1 {
                assert_eq!(fleet.reasons(0), [""; 0]);
                assert_eq!(fleet.state(0), State::Live);
                assert_eq!(client.missed().len(), told + 1);
            }
            if dies {
                fleet.world.run(secs(60));
                assert_eq!(client.missed().len(), told + 1, "it is told once");
            } else {
                deaf_to.lock().unwrap().clear();
                fleet.world.run(HEARTBEAT * 3 / 2);
                assert_eq!(fleet.reasons(0), [name.as_str()]);
                newcomer.door.deaf_to.lock().unwrap().clear();
                fleet.world.run(secs(10));
                assert_eq!(fleet.state(0), State::Live);
                newcomer.publish("t", "heard");
                fleet.world.run(secs(1));
                assert_eq!(client.texts().last().unwrap(), "heard");
            }
        }
    }
}

/// Of a node that is subscribed to several lanes one brings nothing, and nobody says so.
#[test]
fn a_deaf_lane_is_told_and_healed() {
    let config = Config {
        lanes: 8,
        ..Config::default()
    };
    let (audience, scope) = (Audience::from(topic("t")), Scope::default());
    let lane = LaneMap::new(config.lanes).lane(&scope, &audience);
    assert_ne!(lane.0, 0);
    for heals in [true, false] {
        let fleet = Fleet::new(17, 2, config);
        let client = fleet.nodes[1].client(&fleet.world, "c", &["t"]);
        fleet.world.run(secs(1));
        let door = &fleet.nodes[1].door;
        door.deaf_on.store(lane.0, SeqCst);
        let texts = numbered(10);
        for text in &texts {
            fleet.nodes[0].publish("t", text.as_str());
            fleet.world.run(ms(100));
        }
        // It is found by what the other's heartbeats report, and subscribed anew with a link.
        let found = (0..25).any(|_| {
            fleet.world.run(secs(1));
            door.links.load(SeqCst) == 2
        });
        assert!(found, "the link is never rebuilt");
        if heals {
            door.deaf_on.store(u32::MAX, SeqCst);
            fleet.world.run(secs(10));
            client.assert_got(&texts);
        } else {
            fleet.world.run(secs(60));
            assert_eq!((client.texts(), client.missed().len()), (vec![], 1));
        }
    }
}
