//! One outage that is longer than the window is told to each client once, however much of it is found one after the other.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use midplane_core::{Backplane, State};

use crate::wire::{ms, secs};
use crate::world::{Client, Member, World, lanes};

const TOPICS: [&str; 6] = ["t0", "t1", "t2", "t3", "t4", "t5"];

/// How long nodes publish behind an outage.
const BEHIND: Duration = Duration::from_secs(20);

/// What an outage is like.
#[derive(Debug, Clone, Copy)]
struct Outage {
    length: Duration,
    lanes: u32,
    nodes: usize,
    /// How long a node waits between two events.
    pause: Duration,
}

/// Nodes that publish all the time, each with a client in all topics.
struct Scene {
    world: World,
    members: Vec<Member>,
    clients: Vec<Client>,
    pause: Duration,
    published: usize,
}

impl Scene {
    fn new(outage: Outage) -> Self {
        let seed = outage.length.as_millis() as u64;
        let (world, members) = World::live(seed, outage.nodes, lanes(outage.lanes));
        let clients = members.iter();
        let clients = clients.map(|member| member.client(&world, "c", &TOPICS));
        let clients = clients.collect();
        let mut scene = Self {
            world,
            members,
            clients,
            pause: outage.pause,
            published: 0,
        };
        scene.world.run(secs(1));
        scene.publish_for(secs(5));
        scene
    }

    /// Lets this time pass while all nodes publish to all topics in turn.
    fn publish_for(&mut self, duration: Duration) {
        let end = self.world.clock.elapsed() + duration;
        while self.world.clock.elapsed() < end {
            let target = TOPICS[self.published % TOPICS.len()];
            for (node, member) in self.members.iter().enumerate() {
                member.publish(target, format!("{node}.{}", self.published));
            }
            self.published += 1;
            self.world.run(self.pause);
        }
    }

    /// How many reports the client of each node got. Fails unless what came of each origin is in order, and its last
    /// events came.
    fn reports(&self) -> Vec<usize> {
        let reports = self.clients.iter().map(|client| {
            for origin in 0..self.members.len() {
                let texts = client.texts().into_iter();
                let numbers = texts.filter_map(|text| {
                    let (of, number) = text.split_once('.')?;
                    let number: usize = number.parse().ok()?;
                    (of == origin.to_string()).then_some(number)
                });
                let mut by_topic = vec![Vec::new(); TOPICS.len()];
                numbers.for_each(|number| by_topic[number % TOPICS.len()].push(number));
                for numbers in by_topic {
                    assert!(numbers.is_sorted());
                    assert!(numbers.last() >= Some(&(self.published - 2 * TOPICS.len())));
                }
            }
            client.missed().len()
        });
        reports.collect()
    }
}

/// How many reports the client of each node gets of an outage of the bus.
fn of_all(outage: Outage) -> Vec<usize> {
    let mut scene = Scene::new(outage);
    scene.world.memory.block();
    scene.publish_for(outage.length);
    scene.world.memory.unblock();
    scene.publish_for(BEHIND);
    scene.reports()
}

/// How many reports the client of each node gets where the link of the second is gone for this long.
fn of_one(outage: Outage) -> Vec<usize> {
    let mut scene = Scene::new(outage);
    let door = scene.members[1].door.clone();
    door.shut.store(true, SeqCst);
    door.cut();
    scene.publish_for(outage.length);
    door.shut.store(false, SeqCst);
    scene.publish_for(BEHIND);
    assert_eq!(scene.members[1].plane.state(), State::Live);
    scene.reports()
}

/// Outages of this many milliseconds, with one lane and with some, and with few events and many.
fn outages(lengths: &[u64]) -> impl Iterator<Item = Outage> {
    lengths.iter().flat_map(|length| {
        let kinds = [(1, 3, 50), (4, 4, 200), (2, 2, 20)];
        kinds.map(|(lanes, nodes, pause)| Outage {
            length: ms(*length),
            lanes,
            nodes,
            pause: ms(pause),
        })
    })
}

#[test]
fn an_outage_longer_than_the_window_is_told_to_each_client_once() {
    for outage in outages(&[31_600, 46_100]) {
        let reports = of_all(outage);
        assert!(
            reports.iter().all(|count| *count == 1),
            "{outage:?}: {reports:?}"
        );
    }
}

/// The others are told once the node is not heard for the time to live, and its own clients when it is back.
#[test]
fn a_node_that_was_away_for_longer_than_the_window_is_told_of_once() {
    for outage in outages(&[34_500, 54_000]) {
        let reports = of_one(outage);
        assert!(
            reports.iter().all(|count| *count == 1),
            "{outage:?}: {reports:?}"
        );
    }
}

/// What a node published after the others were told that it is not heard, and gave up before it was back, they can be
/// told no sooner.
#[test]
fn a_node_that_was_away_for_twice_the_window_is_told_of_twice_at_most() {
    for outage in outages(&[61_000, 66_400]) {
        let mut reports = of_one(outage);
        assert_eq!(reports.remove(1), 1, "{outage:?}");
        assert!(
            reports.iter().all(|count| *count <= 2),
            "{outage:?}: {reports:?}"
        );
    }
}

/// What is given up at the edge of the window is found lane after lane.
#[test]
fn an_outage_of_about_the_window_is_told_to_each_client_twice_at_most() {
    for outage in outages(&[25_800, 28_700]) {
        for reports in [of_all(outage), of_one(outage)] {
            assert!(
                reports.iter().all(|count| *count <= 2),
                "{outage:?}: {reports:?}"
            );
        }
    }
}
