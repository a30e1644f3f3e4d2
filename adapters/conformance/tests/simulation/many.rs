//! Many nodes at once: every event arrives, or is told.

use midplane::State;
use midplane::core::Reason;
use midplane_conformance::simulation::many::{ManyClusters, ManyNodes};

/// How many nodes there are, or as many as the environment says.
fn nodes(variable: &str, default: usize) -> usize {
    let number = std::env::var(variable).ok();
    number.map_or(default, |number| number.parse().expect("a number"))
}

#[expect(clippy::print_stderr, reason = "the figures are for people to see")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[test]
fn many_nodes_that_start_at_once_lose_nothing_and_stay_ready_when_others_crash() {
    let nodes = nodes("SIMULATION_NODES", 100);
    let mut all = ManyNodes::start(nodes, nodes);
    let heartbeats = all.settle();
    all.forget();
    all.publish_each();
    all.run(2);
    all.assert_whole();
    all.assert_ready();
    let (complete, answers, silent, frames) = all.ask();
    assert_eq!((complete, answers, silent), (true, nodes - 1, 0));
    say(&format!(
        "{nodes} nodes know each other after {heartbeats} heartbeats, and receive {frames} frames for a question"
    ));
    all.crash(nodes / 10);
    // Beyond those that are made before their time: who is named in turn is deaf to nobody.
    for _ in 0..8 {
        all.run(1);
        all.assert_ready();
    }
    // What those sent last is told, for nobody knows what it was.
    all.forget();
    all.publish_each();
    all.run(2);
    all.assert_whole();
    assert_eq!(all.reasons(0), []);
}

#[test]
fn what_nodes_publish_beyond_the_room_for_peers_is_told() {
    let nodes = nodes("SIMULATION_NODES", 100);
    let room = self::nodes("SIMULATION_ROOM", nodes - 16);
    let beyond = nodes - 1 - room;
    let mut all = ManyNodes::start(nodes, room);
    all.publish_each();
    let heartbeats = all.settle();
    all.publish_each();
    // What nobody repairs is told a time to live later.
    all.run(6);
    let told = all.assert_accounted();
    assert!(told >= nodes * beyond);
    say(&format!(
        "{nodes} nodes with room for {room} others settle after {heartbeats} heartbeats; {told} deliveries were told as missing"
    ));
    all.assert_ready();
    for which in 0..nodes {
        let reasons = all.reasons(which);
        assert!(
            reasons.contains(&Reason::Full { room }),
            "node {which}: {reasons:?}"
        );
    }
    let (complete, ..) = all.ask();
    assert!(!complete);
    // Who has a place keeps it, and nothing is told where nothing is published: as many newcomers are known as members.
    let members = all.members();
    all.forget();
    all.run(20);
    assert!(all.members() == members);
    assert!(all.told() == 0 || beyond > room);
    // Again and again, within heartbeats, and of those alone for which there is no room.
    for _ in 0..3 {
        all.publish_each();
        all.run(2);
        assert_eq!(all.assert_accounted(), nodes * beyond);
        all.forget();
    }
    all.assert_ready();
    assert!(all.members() == members);
}

#[test]
fn whole_nodes_lose_nothing_and_stay_ready_when_others_are_killed() {
    let nodes = nodes("SIMULATION_CLUSTERS", 30);
    let mut all = ManyClusters::start(nodes);
    all.assert_ready(State::Live);
    all.publish_each();
    all.run(1);
    all.assert_all_came();
    assert!(all.missed().all(|missed| missed == 0));
    let answers = all.count();
    assert!(answers.is_complete(), "{answers:?}");
    assert_eq!(answers.connections(), nodes);
    all.kill(nodes / 4);
    all.run(3);
    all.assert_ready(State::Degraded);
    all.run_until_told();
    all.assert_ready(State::Live);
    assert!(all.missed().all(|missed| missed >= 1));
    all.publish_each();
    all.run(1);
    all.assert_all_came();
}
