//! What nodes say of themselves, and what comes of settings that differ.

use std::time::Duration;

use bytes::Bytes;
use midplane::ClusterBuilder;
use midplane_core::bus::Signing;
use midplane_core::envelope::NodeId;
use midplane_core::node::Config;
use midplane_core::{
    AgreedSetting, Audience, Backplane, Difference, Event, ExternalEvent, KnownNode, Notice,
    Question, State,
};

use crate::door::Door;
use crate::signed::{requires, signs};
use crate::wire::secs;
use crate::world::{Client, Member, World, lanes, topic};

/// A node with a name, on the common broker.
fn start(world: &mut World, config: Config, name: &str) -> Member {
    start_as(world, config, |builder| builder.with_name(name))
}

fn start_as(
    world: &mut World,
    config: Config,
    add: impl FnOnce(ClusterBuilder) -> ClusterBuilder,
) -> Member {
    let broker = (world.memory.clone(), Some("broker 7"));
    world.start_as(config, Door::default(), broker, add)
}

fn beating(heartbeat: Duration) -> Config {
    Config {
        heartbeat,
        ..Config::default()
    }
}

fn known(member: &Member, name: &str) -> KnownNode {
    let members = member.plane.status().members;
    let found = members.iter().find(|known| known.name == name);
    found
        .unwrap_or_else(|| panic!("{name} is not among {members:?}"))
        .clone()
}

fn differences(member: &Member) -> Vec<Difference> {
    let notices = member.notices().into_iter();
    let differences = notices.filter_map(|notice| match notice {
        Notice::Differs(difference) => Some(difference),
        _ => None,
    });
    differences.collect()
}

fn reasons(member: &Member) -> Vec<String> {
    let reasons = member.plane.status().reasons;
    reasons.iter().map(ToString::to_string).collect()
}

fn texts_refused(_: &Bytes) -> Result<ExternalEvent, &'static str> {
    Err("none is read")
}

#[test]
fn members_have_names_settings_and_brokers() {
    let mut world = World::new(1);
    let nodes = ["web-1", "web-2"].map(|name| start(&mut world, Config::default(), name));
    world.run(secs(5));
    let other = known(&nodes[0], "web-2");
    let settings = other.settings.expect("it says its settings");
    let config = Config::default();
    assert_eq!(
        (other.id, other.broker.as_str()),
        (NodeId([2; 16]), "broker 7")
    );
    assert_eq!((settings.lanes, settings.json_lane), (1, false));
    assert_eq!(
        (settings.heartbeat, settings.time_to_live),
        (config.heartbeat, config.time_to_live)
    );
    for node in &nodes {
        assert!(differences(node).is_empty() && reasons(node).is_empty());
    }
}

/// One node has nothing that is too long, and nothing that would break a line of a log.
#[test]
fn a_name_that_cannot_be_said_is_cut() {
    let mut world = World::new(2);
    let long = "n\u{1b}[31m\n".repeat(40);
    let nodes = [long.as_str(), "web-2"].map(|name| start(&mut world, Config::default(), name));
    world.run(secs(5));
    let names: Vec<String> = nodes[1]
        .plane
        .status()
        .members
        .into_iter()
        .map(|known| known.name)
        .collect();
    assert_eq!(names.len(), 1);
    assert!(
        names[0].starts_with("n[31mn[31m") && names[0].len() <= 64,
        "{names:?}"
    );
}

#[test]
fn three_heartbeats_in_one_cluster() {
    let mut world = World::new(3);
    let beats = [("quick", 300), ("usual", 2_000), ("slow", 30_000)];
    let nodes =
        beats.map(|(name, beat)| start(&mut world, beating(Duration::from_millis(beat)), name));
    world.run(secs(120));
    let begun = nodes.each_ref().map(|node| node.notices().len());
    world.run(secs(600));
    for (node, begun) in nodes.iter().zip(begun) {
        assert_eq!(node.plane.state(), State::Live);
        // Nobody flaps.
        assert_eq!(node.notices()[begun..], []);
        let said: Vec<AgreedSetting> = differences(node)
            .iter()
            .map(|difference| difference.setting)
            .collect();
        assert_eq!(said, [AgreedSetting::Heartbeat; 2]);
        assert_eq!(reasons(node).len(), 2, "{:?}", reasons(node));
    }
    assert!(
        reasons(&nodes[0]).contains(&String::from("heartbeat differs: 300ms here, 30s at slow"))
    );
    let clients = nodes
        .each_ref()
        .map(|node| node.client(&world, "c", &["t"]));
    world.run(secs(1));
    for node in &nodes {
        let plane = node.plane.clone();
        let (answers, _) = world.complete(async move {
            let audience = Audience::from(topic("t"));
            plane.ask(Question::Count(audience), secs(5)).await
        });
        assert_eq!(
            (answers.connections(), answers.is_complete()),
            (3, true),
            "{answers:?}"
        );
        node.publish("t", "all");
    }
    world.run(secs(40));
    for client in &clients {
        assert_eq!((client.texts().len(), client.losses().len()), (3, 0));
    }
}

#[test]
fn the_shorter_time_to_live_counts_between_two_nodes() {
    let mut world = World::new(4);
    let short = Config {
        time_to_live: secs(5),
        ..Config::default()
    };
    let nodes = [
        start(&mut world, short, "short"),
        start(&mut world, Config::default(), "long"),
    ];
    world.run(secs(5));
    for (node, other) in [(0, 1), (1, 0)] {
        let said = differences(&nodes[node]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(
            (said[0].setting, said[0].node),
            (AgreedSetting::TimeToLive, NodeId([other + 1; 16]))
        );
    }
}

#[test]
fn another_json_lane_is_said_on_both_sides() {
    let mut world = World::new(5);
    let with = start_as(&mut world, Config::default(), |builder| {
        builder.with_name("with").with_external(texts_refused)
    });
    let without = start(&mut world, Config::default(), "without");
    world.run(secs(5));
    for (node, ours, name) in [(&with, "on", "without"), (&without, "off", "with")] {
        let said = differences(node);
        assert_eq!(said.len(), 1, "{said:?}");
        let Difference {
            setting,
            ours: here,
            name: at,
            ..
        } = &said[0];
        assert_eq!(
            (*setting, here.as_str(), at.as_str()),
            (AgreedSetting::JsonLane, ours, name)
        );
        // Events between the nodes come all the same.
        assert_eq!(node.plane.state(), State::Live);
    }
}

#[test]
fn another_cluster_on_the_prefix_is_refused_and_named() {
    let mut world = World::new(6);
    let mut start = |name: &str, cluster: &str| {
        start_as(&mut world, Config::default(), |builder| {
            builder.with_name(name).with_cluster_name(cluster)
        })
    };
    let nodes = [
        start("chat-1", "chat"),
        start("chat-2", "chat"),
        start("shop-1", "shop"),
    ];
    world.run(secs(5));
    let clients = nodes
        .each_ref()
        .map(|node| node.client(&world, "c", &["t"]));
    world.run(secs(1));
    for node in &nodes {
        node.publish("t", node.plane.id().to_string());
    }
    world.run(secs(40));
    let texts = clients.each_ref().map(|client| client.texts().len());
    assert_eq!(texts, [2, 2, 1]);
    for (node, client) in nodes.iter().zip(&clients) {
        assert_eq!(client.losses().len(), 0);
        assert!(node.plane.status().counters.foreign > 0);
        assert_eq!(node.plane.state(), State::Live);
    }
    assert_eq!(
        reasons(&nodes[0]),
        ["cluster shop shares the prefix: shop-1 is refused"]
    );
    assert_eq!(differences(&nodes[2]).len(), 2);
    assert_eq!(nodes[2].plane.status().members, []);
}

/// A name of the cluster can be given to one node after the other.
#[test]
fn a_node_without_a_cluster_name_agrees_with_all() {
    let mut world = World::new(7);
    let named = start_as(&mut world, Config::default(), |builder| {
        builder.with_name("named").with_cluster_name("chat")
    });
    let nodes = [named, start(&mut world, Config::default(), "unnamed")];
    world.run(secs(5));
    for node in &nodes {
        assert_eq!(node.plane.status().members.len(), 1);
        assert_eq!(reasons(node), [""; 0]);
    }
}

/// A later release may say what this one does not know, as long as no event is in it.
#[test]
fn control_messages_of_unknown_kinds_are_no_gap() {
    let mut world = World::new(8);
    let nodes = [1, 2].map(|number| start(&mut world, Config::default(), &format!("web-{number}")));
    let client = nodes[1].client(&world, "c", &["t"]);
    world.run(secs(5));
    for kind in 0..30 {
        nodes[0].publish("t", format!("{kind}"));
        world.send_unknown(&nodes[0], 160 + kind);
        world.run(Duration::from_millis(100));
    }
    world.run(secs(10));
    assert_eq!((client.texts().len(), client.losses().len()), (30, 0));
    assert_eq!(nodes[1].plane.status().counters.unknown_kinds, 30);
    assert_eq!(Event::text("0").as_text(), Some(client.texts()[0].as_str()));
}

/// Every node but one publishes to all topics, again and again.
fn publish(
    world: &World,
    nodes: &[Member],
    topics: &[&str],
    but: Option<usize>,
    texts: &mut Vec<String>,
) {
    for _ in 0..20 {
        for (_, node) in nodes
            .iter()
            .enumerate()
            .filter(|(number, _)| Some(*number) != but)
        {
            for topic in topics {
                let text = format!("event {}.", texts.len());
                node.publish(topic, text.as_str());
                texts.push(text);
            }
        }
        world.run(Duration::from_millis(50));
    }
}

/// Fails unless all of these came, in any order, and nothing was missed.
fn assert_all(client: &Client, texts: &[String]) {
    let (mut got, mut all) = (client.texts(), texts.to_vec());
    got.sort();
    all.sort();
    assert_eq!(
        (got == all, got.len(), client.losses()),
        (true, all.len(), vec![])
    );
}

/// Nodes with one lane are replaced by nodes with 256, one after the other, while the others publish to all topics.
#[test]
fn lanes_1_to_256_rolling_loses_nothing() {
    let mut world = World::new(10);
    let topics: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut nodes: Vec<Member> = (0..3)
        .map(|number| start(&mut world, lanes(1), &format!("old-{number}")))
        .collect();
    world.run(secs(5));
    let client = |world: &World, node: &Member| node.client(world, "c", &topics);
    let mut clients: Vec<Client> = nodes.iter().map(|node| client(&world, node)).collect();
    world.run(secs(1));
    let (mut texts, mut from) = (Vec::new(), [0; 3]);
    for replaced in 0..3 {
        publish(&world, &nodes, &topics, None, &mut texts);
        // What was published last arrives before the node closes.
        world.run(secs(1));
        assert_all(&clients[replaced], &texts[from[replaced]..]);
        let old = nodes[replaced].plane.clone();
        let closed = world.complete(async move { old.close(secs(5)).await.unsent });
        assert_eq!(closed.0, 0);
        nodes[replaced] = start(&mut world, lanes(256), &format!("new-{replaced}"));
        for _ in 0..3 {
            publish(&world, &nodes, &topics, Some(replaced), &mut texts);
        }
        let said: Vec<String> = reasons(&nodes[replaced]);
        assert_eq!(said.len(), 2 - replaced, "{said:?}");
        clients[replaced] = client(&world, &nodes[replaced]);
        world.run(secs(1));
        from[replaced] = texts.len();
    }
    publish(&world, &nodes, &topics, None, &mut texts);
    world.run(secs(40));
    for (node, (client, from)) in nodes.iter().zip(clients.iter().zip(from)) {
        assert_all(client, &texts[from..]);
        // All agree again, and events go on lanes of their own.
        assert_eq!(reasons(node), [""; 0]);
    }
}

/// Of nodes with different numbers of lanes each gets all that the other publishes.
#[test]
fn another_number_of_lanes_is_bridged_and_said_on_both_sides() {
    let mut world = World::new(11);
    let nodes = [(1, "one"), (64, "many"), (3, "few")]
        .map(|(number, name)| start(&mut world, lanes(number), name));
    world.run(secs(5));
    let topics: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let clients = nodes
        .each_ref()
        .map(|node| node.client(&world, "c", &topics));
    world.run(secs(1));
    let mut texts = Vec::new();
    publish(&world, &nodes, &topics, None, &mut texts);
    world.run(secs(40));
    for (node, client) in nodes.iter().zip(&clients) {
        assert_all(client, &texts);
        let said: Vec<AgreedSetting> = differences(node)
            .iter()
            .map(|difference| difference.setting)
            .collect();
        assert_eq!(said, [AgreedSetting::Lanes; 2]);
        assert_eq!(node.plane.state(), State::Live);
    }
}

/// What a node sent on lanes that another does not have, before it knew of that one, is reported there.
#[test]
fn events_on_lanes_that_are_not_ours_are_told() {
    let mut world = World::new(12);
    let many = start(&mut world, lanes(64), "many");
    world.run(secs(5));
    let few = start(&mut world, lanes(1), "few");
    // The first introduction of the newcomer does not come.
    many.door.deaf_to.lock().unwrap().push(NodeId([2; 16]));
    let client = few.client(&world, "c", &["t1", "t2", "t3"]);
    world.run(secs(1));
    assert_eq!(few.plane.state(), State::Live);
    for topic in ["t1", "t2", "t3"] {
        many.publish(topic, "unheard");
    }
    world.run(secs(1));
    many.door.deaf_to.lock().unwrap().clear();
    world.run(secs(10));
    assert_eq!((client.texts(), client.missed().len()), (vec![], 1));
}

fn start_signing(world: &mut World, name: &str, signing: Option<Signing>) -> Member {
    start_as(world, Config::default(), |builder| {
        let builder = builder.with_name(name);
        match signing {
            Some(signing) => builder.with_signing(signing),
            None => builder,
        }
    })
}

/// Nothing of a node is taken that signs with no known key, and both nodes say why.
#[test]
fn a_node_that_signs_otherwise_is_named_on_both_sides() {
    for (seed, theirs, here, there) in [
        (13, None, "require:1 here, unsigned", "off here, require:1"),
        (
            14,
            requires(&[2]),
            "require:1 here, unknown-key:2",
            "require:2 here, unknown-key:1",
        ),
    ] {
        let mut world = World::new(seed);
        let nodes = [("web-1", requires(&[1])), ("web-2", theirs)]
            .map(|(name, signing)| start_signing(&mut world, name, signing));
        world.run(secs(10));
        let clients = nodes
            .each_ref()
            .map(|node| node.client(&world, "c", &["t"]));
        nodes[0].publish("t", "to nobody");
        nodes[1].publish("t", "to nobody");
        world.run(secs(40));
        let said = [
            format!("signing differs: {here} at web-2"),
            format!("signing differs: {there} at web-1"),
        ];
        for ((node, client), said) in nodes.iter().zip(&clients).zip(said) {
            assert_eq!(reasons(node), [said]);
            assert_eq!(differences(node).len(), 1);
            assert_eq!(node.plane.state(), State::Live);
            assert_eq!(node.plane.status().members, []);
            assert_eq!((client.texts().len(), client.losses().len()), (1, 0));
        }
        // Who is gone is named no longer.
        world.tasks.kill(nodes[1].process);
        world.run(secs(25));
        assert_eq!(reasons(&nodes[0]), [""; 0]);
    }
}

/// The steps of a roll-out are said while they differ, and cost nothing.
#[test]
fn other_keys_and_modes_of_members_are_said_on_both_sides() {
    let mut world = World::new(15);
    let nodes = [("web-1", signs(&[1])), ("web-2", requires(&[1, 2]))]
        .map(|(name, signing)| start_signing(&mut world, name, signing));
    world.run(secs(10));
    let clients = nodes
        .each_ref()
        .map(|node| node.client(&world, "c", &["t"]));
    world.run(secs(1));
    for node in &nodes {
        node.publish("t", "to all");
    }
    world.run(secs(10));
    let said = [
        "sign:1 here, require:1,2 at web-2",
        "require:1,2 here, sign:1 at web-1",
    ];
    for ((node, client), said) in nodes.iter().zip(&clients).zip(said) {
        assert_eq!(reasons(node), [format!("signing differs: {said}")]);
        assert_eq!((client.texts().len(), client.losses().len()), (2, 0));
    }
}
