//! Several nodes in one process over the memory bus, on each executor.

use std::iter;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use midplane::bus::Bus;
use midplane::core::MissedCounts;
use midplane::node::Config;
use midplane::{
    Answer, Answers, Ask, Backplane, Cluster, ConnectionId, Event, Memory, Missed, Notice, Reach,
    Relay, Sink, State, Target, Timer, fresh_node_id,
};
use midplane_testkit::{PATIENCE, eventually};

type Spawn = fn(BoxFuture<'static, ()>);

/// Half of the default, for a run is dozens of them; shorter, and a busy machine stalls for longer than a
/// node may be deaf.
fn config() -> Config {
    Config {
        heartbeat: Duration::from_secs(1),
        ..Config::default()
    }
}

fn node(bus: &Memory, timer: &Arc<dyn Timer>, config: Config, spawn: Spawn) -> Cluster {
    let bus: Arc<dyn Bus> = Arc::new(bus.clone());
    let (cluster, driver) = Cluster::new(fresh_node_id().unwrap(), bus, timer.clone(), config);
    spawn(driver.boxed());
    cluster
}

async fn becomes(cluster: &Cluster, state: State) {
    let mut notices = cluster.notices();
    while let Some(notice) = notices.next().await {
        if notice == Notice::State(state) {
            return;
        }
    }
    panic!("the notices ended");
}

/// A connection that keeps what it gets, and tells when the event `last` comes.
fn listener(cluster: &Cluster, name: &str) -> (midplane::Attachment, Arc<Mutex<Vec<Event>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let missed = kept.clone();
    let sink = Sink::with_missed(
        move |event: &Event| kept.lock().unwrap().push(event.clone()),
        move |report: &Missed| {
            let report = Event::text(report.to_string());
            missed.lock().unwrap().push(report);
        },
    );
    (
        cluster.attach(ConnectionId::new(name).unwrap(), sink),
        heard,
    )
}

async fn events_reach_every_node(timer: Arc<dyn Timer>, spawn: Spawn) {
    let bus = Memory::new();
    let nodes = [0; 3].map(|_| node(&bus, &timer, config(), spawn));
    for node in &nodes {
        becomes(node, State::Live).await;
    }
    let topic = Target::topic("t").unwrap();
    let mut listeners = Vec::new();
    for node in &nodes {
        let (attachment, heard) = listener(node, "one");
        assert_eq!(attachment.associate(&topic).await, Ok(Reach::Everywhere));
        listeners.push((attachment, heard));
    }
    let sent: Vec<Event> = (0..1_000).map(|n| Event::text(format!("{n}"))).collect();
    for event in &sent {
        let receipt = nodes[0].publish(&topic.clone().into(), event);
        assert_eq!((receipt.local.accepted, receipt.relay), (1, Relay::Queued));
    }
    assert_eq!(nodes[0].flush().await, Ok(()));
    for (_, heard) in &listeners {
        eventually("every event arrives", || {
            heard.lock().unwrap().len() >= sent.len()
        })
        .await;
        assert_eq!(*heard.lock().unwrap(), sent);
    }
    // The bus goes away and comes back. What is published meanwhile, and by who is back first, reaches all.
    bus.block();
    let mut notices = Vec::new();
    for node in &nodes {
        notices.push(node.notices());
        becomes(node, State::Degraded).await;
    }
    let (late, after) = (Event::text("late"), Event::text("after"));
    let receipt = nodes[1].publish(&topic.clone().into(), &late);
    assert_eq!((receipt.local.accepted, receipt.relay), (1, Relay::Queued));
    bus.unblock();
    for node in &nodes {
        becomes(node, State::Live).await;
    }
    let receipt = nodes[1].publish(&topic.clone().into(), &after);
    assert_eq!(receipt.relay, Relay::Queued);
    for (((_, heard), mut notices), node) in listeners.iter().zip(notices).zip(&nodes) {
        eventually("the last event arrives", || {
            heard.lock().unwrap().last() == Some(&after)
        })
        .await;
        let whole = [&sent[..], &[late.clone(), after.clone()]].concat();
        assert_eq!(*heard.lock().unwrap(), whole);
        let notices: Vec<Notice> = iter::from_fn(|| notices.next().now_or_never()?).collect();
        assert!(notices.contains(&Notice::State(State::Live)), "{notices:?}");
        let told = |notice: &Notice| matches!(notice, Notice::Missed(_));
        assert!(!notices.iter().any(told), "{notices:?}");
        assert_eq!(node.status().missed, MissedCounts::default());
    }
    for node in &nodes {
        assert_eq!(node.close(PATIENCE).await.unsent, 0);
    }
    eventually("every link ends", || bus.links() == 0).await;
}

async fn lanes_are_subscribed_where_members_are(timer: Arc<dyn Timer>, spawn: Spawn) {
    let bus = Memory::new();
    let config = Config {
        lanes: 4_096,
        cool_down: Duration::from_millis(50),
        ..config()
    };
    let nodes = [0; 2].map(|_| node(&bus, &timer, config, spawn));
    for node in &nodes {
        becomes(node, State::Live).await;
    }
    for round in 0..20 {
        let topic = Target::topic(format!("{round}")).unwrap();
        let (attachment, heard) = listener(&nodes[0], "one");
        assert_eq!(attachment.associate(&topic).await, Ok(Reach::Everywhere));
        let receipt = nodes[1].publish(&topic.into(), &Event::text("here"));
        assert_eq!(receipt.relay, Relay::Queued);
        eventually("the event arrives", || heard.lock().unwrap().len() == 1).await;
    }
    for node in &nodes {
        assert_eq!(node.close(PATIENCE).await.unsent, 0);
    }
}

/// What each node answered, this one first.
fn counts(answers: &Answers) -> Vec<Answer> {
    let others = answers.others.iter().map(|(_, answer)| *answer);
    [answers.here].into_iter().chain(others).collect()
}

async fn questions_reach_every_node(timer: Arc<dyn Timer>, spawn: Spawn) {
    const DEADLINE: Duration = PATIENCE;
    let bus = Memory::new();
    let nodes = [0; 3].map(|_| node(&bus, &timer, config(), spawn));
    for node in &nodes {
        becomes(node, State::Live).await;
    }
    let ada = Target::user("ada").unwrap();
    let everyone: midplane::Audience = ada.clone().into();
    let mut listeners = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let (attachment, heard) = listener(node, &format!("phone {number}"));
        let _ = attachment.associate(&ada).await.unwrap();
        listeners.push((attachment, heard));
    }
    // Frames may wait at a node whose driver was not run since: those who sent them are no members yet.
    for node in &nodes {
        eventually("the others are members", || {
            node.status().members.len() == 2
        })
        .await;
    }
    let one = |count| Answer::Connections(count);
    let answers = nodes[0].count(&everyone, DEADLINE).await;
    assert_eq!(
        (counts(&answers), answers.is_complete()),
        (vec![one(1); 3], true)
    );

    let hello = Event::text("hello");
    let but_one = everyone
        .clone()
        .except(ConnectionId::new("phone 1").unwrap());
    let answers = nodes[1].publish_confirmed(&but_one, &hello, DEADLINE).await;
    assert!(answers.is_complete(), "{answers:?}");
    assert_eq!(answers.delivered().accepted, 2);
    assert_eq!(
        *listeners[0].1.lock().unwrap(),
        std::slice::from_ref(&hello)
    );
    assert_eq!(*listeners[1].1.lock().unwrap(), []);

    let room = Target::topic("room").unwrap();
    let answers = Ask::associate(&nodes[2], &but_one, &room, DEADLINE).await;
    assert_eq!(answers.connections(), 2);
    assert!(listeners[0].0.is_in(&room) && !listeners[1].0.is_in(&room));
    let answers = nodes[0].dissociate(&everyone, &room, DEADLINE).await;
    assert_eq!(answers.connections(), 2);
    assert!(!listeners[2].0.is_in(&room));

    let phone = Target::connection("phone 2").unwrap().into();
    let answers = nodes[0].disconnect(&phone, DEADLINE).await;
    assert_eq!(
        counts(&answers)
            .iter()
            .filter(|answer| **answer == one(1))
            .count(),
        1
    );
    assert!(!listeners[2].0.is_attached());
    assert_eq!(nodes[0].count(&everyone, DEADLINE).await.connections(), 2);

    // Who closes says goodbye and is not waited for.
    assert_eq!(nodes[2].close(PATIENCE).await.unsent, 0);
    let answers = nodes[0].count(&everyone, DEADLINE).await;
    assert!(
        answers.is_complete() && answers.others.len() == 1,
        "{answers:?}"
    );
    // Who is cut off is named.
    bus.block();
    becomes(&nodes[0], State::Degraded).await;
    let answers = nodes[0].count(&everyone, Duration::from_millis(50)).await;
    assert_eq!((answers.here, answers.live), (one(1), false));
    assert_eq!(answers.silent, [nodes[1].id()]);
}

fn on_every_executor<F>(check: fn(Arc<dyn Timer>, Spawn) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
        .block_on(async {
            check(Arc::new(midplane::tokio::Timer::new()), |driver| {
                midplane::tokio::spawn(driver);
            })
            .await;
        });
    smol::block_on(check(Arc::new(midplane::smol::Timer::new()), |driver| {
        midplane::smol::spawn(driver);
    }));
}

#[test]
fn promise_4_events_reach_every_node_or_it_says_when_it_was_deaf() {
    on_every_executor(events_reach_every_node);
}

#[test]
fn questions_are_answered_by_every_node_or_it_is_named() {
    on_every_executor(questions_reach_every_node);
}

#[test]
fn a_lane_is_heard_when_its_association_is_awaited() {
    on_every_executor(lanes_are_subscribed_where_members_are);
}
