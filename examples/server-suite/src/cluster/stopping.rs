//! Servers that are killed, that stand still, and that are told to end under load.

use std::time::{Duration, Instant};

use midplane_testkit::PATIENCE;
use midplane_testkit::child::Signal;
use serde_json::{Value, json};
use tokio_websockets::Message;

use super::nodes::{Nodes, listener, met, topic};
use super::{Programs, ServerKind};
use crate::client::{Arrival, Client};
use crate::fixture::{Endpoint, publication};
use crate::flags::LARGE_MAILBOX;
use crate::flood::{self, WINDOW};

/// How long an event may be under way from its publisher to the frame that bears the time: how old it is counts from
/// there.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// An event that is published when all others were.
const FENCE: &str = "\"fence\"";

/// A node that is killed is missed, and nothing else happens to the others.
pub async fn a_node_that_is_killed(programs: Programs) {
    let programs = programs.in_turn();
    let (mut nodes, _broker) = Nodes::start_shared(programs, 3, ServerKind::Redis, "").await;
    nodes.listen().await;
    let (killed, _client) = nodes.remove(0);
    killed.signal(Signal::KILL);
    drop(killed);
    nodes.fenced("killed").await;
    for server in &nodes.servers {
        server.knows(1).await;
        assert_eq!(server.readiness().await, 200);
        assert_eq!(server.counted("/session_failures").await, 0);
    }
    nodes.fenced("missed").await;
}

/// A node stands still for longer than the time to live: the others go on, it delivers nothing that is older, and says
/// to its client that something is missing.
pub async fn a_node_that_stands_still(programs: Programs) {
    let short = "--heartbeat 500ms --time-to-live 2s";
    stands_still(programs, short, Duration::ZERO, Duration::from_secs(2)).await;
}

/// A node with the default time to live stands still for longer than that, 30 s.
pub async fn a_node_that_stands_still_for_30_s(programs: Programs) {
    let (still, live) = (Duration::from_secs(32), Duration::from_secs(30));
    stands_still(programs, "--heartbeat 2s", still, live).await;
}

async fn stands_still(programs: Programs, flags: &str, at_least: Duration, live: Duration) {
    for still in [0, 1] {
        // The clients do not read, nor answer pings, until the node is thawed.
        let flags = format!("{flags} {LARGE_MAILBOX}");
        let started = Nodes::start_shared(programs.in_turn(), 3, ServerKind::Redis, &flags);
        let (mut nodes, _broker) = started.await;
        nodes.listen().await;
        let endpoints = nodes.endpoints();
        let (still, mut frozen) = nodes.remove(still);
        let [first, second] = &nodes.servers[..] else {
            panic!("there were three");
        };
        still.signal(Signal::STOP);
        // Events with the time they were published at, until the others have missed it.
        let start = Instant::now();
        let mut published = Vec::new();
        loop {
            let event = json!({ "at": start.elapsed().as_millis() as u64 }).to_string();
            first.publish(&topic(), &event).await;
            assert_eq!(second.readiness().await, 200);
            published.push(event);
            let missed = first.members().await == 1;
            if missed && start.elapsed() > at_least {
                break;
            }
            let late = start.elapsed() > at_least + PATIENCE;
            assert!(!late, "the node is not missed");
        }
        let thawed = start.elapsed();
        still.signal(Signal::CONT);
        for client in &mut nodes.clients {
            // What the node that stood still may have published is missing, and is told once if it is told by now.
            let mut told = 0;
            for event in &published {
                assert_eq!(next_event(client, &mut told).await, *event);
            }
            assert!(told <= 1, "a client of another node is told {told} times");
        }
        still.says_it_missed_something().await;
        still.is_ready().await;
        met(&endpoints).await;
        let before = thawed.saturating_sub(live + UNDER_WAY);
        let Catching { old, told } = catch_up(&mut frozen, first, before).await;
        assert_eq!(old, 0, "published until {before:?} of {thawed:?}");
        assert!(told > 0, "the client of the node is not told");
        for server in &nodes.servers {
            assert_eq!(server.counted("/session_failures").await, 0);
        }
    }
}

/// The next event of a client. How often the client is told before it that something is missing is added to `told`.
async fn next_event(client: &mut Client, told: &mut usize) -> String {
    loop {
        match client.next().await {
            Arrival::Event(event) => return event,
            Arrival::Own(own) if own["midplane"] == "missed" => *told += 1,
            other => panic!("events come, and what is missing, and not {other:?}"),
        }
    }
}

/// What comes to a client before a fence.
#[derive(Default)]
struct Catching {
    /// Events that were published too long ago.
    old: usize,
    /// How often the client is told that it missed something.
    told: usize,
}

/// What comes to a client before a fence that is published now. Events are old that were published before this time.
async fn catch_up(client: &mut Client, from: &Endpoint, before: Duration) -> Catching {
    from.publish(&topic(), FENCE).await;
    let mut caught = Catching::default();
    loop {
        let event = next_event(client, &mut caught.told).await;
        if event == FENCE {
            return caught;
        }
        let event: Value = event.parse().expect("JSON");
        let at = event["at"].as_u64().expect("a time");
        if Duration::from_millis(at) < before {
            caught.old += 1;
        }
    }
}

/// A node is told to end while it is published to as fast as it answers: every event that it accepted reaches the other node,
/// in order, once; and it ends well before its deadline.
pub async fn a_stop_under_load(programs: Programs) {
    for programs in programs.in_both_orders() {
        // The client reads at the end: its mailbox holds everything.
        let flags = "--drain-timeout 10s --mailbox-messages 1000000 --mailbox-bytes 256MiB";
        let started = Nodes::start_shared(programs, 2, ServerKind::Redis, flags);
        let (mut nodes, _broker) = started.await;
        nodes.listen().await;
        let (mut ends, mut publisher) = nodes.remove(0);
        let (stays, mut client) = nodes.remove(0);
        let (mut sent, mut accepted) = (0, 0);
        let mut signalled = None;
        loop {
            if sent - accepted < WINDOW {
                let request = flood::request(&topic(), sent, 500);
                publisher.try_send(Message::text(request)).await;
                sent += 1;
                continue;
            }
            match publisher.next().await {
                Arrival::Own(own) if own["midplane"] == "published" => {
                    assert_eq!(own["id"], accepted, "{own}");
                    assert_eq!(own["relay"], "queued", "{own}");
                    accepted += 1;
                }
                Arrival::Own(_) => {}
                Arrival::Event(event) => panic!("the publisher is left out of {event}"),
                Arrival::Close(_) | Arrival::End => break,
            }
            if accepted == 500 && signalled.is_none() {
                ends.signal(Signal::TERM);
                signalled = Some(Instant::now());
            }
        }
        let signalled = signalled.expect("it ended of the signal");
        ends.ends_with(0).await;
        assert!(signalled.elapsed() < Duration::from_secs(10));
        // What was accepted and whose answer was cut off may come, too.
        let mut came = 0;
        while came < accepted {
            assert_eq!(flood::number(&client.event().await), Some(came));
            came += 1;
        }
        take_until_fence(&stays, &mut client, &mut came).await;
        assert!(came <= sent);
    }
}

/// A node is told to end while the broker stands still: what was accepted and not handed over is counted by the time
/// the deadline comes, and said.
pub async fn a_stop_without_a_broker(programs: Programs) {
    const EVENTS: u64 = 50;
    for programs in programs.in_both_orders() {
        let broker = ServerKind::Redis.start();
        let mut nodes = Nodes::start(programs, 2, &broker.url(), "--drain-timeout 2s").await;
        let [ends, stays] = &mut nodes.servers[..] else {
            panic!("there are two");
        };
        // The server that ends has no client, which would wait for its goodbye.
        let mut client = listener(stays, "").await;
        broker.stop();
        for n in 0..EVENTS {
            let body = publication(&topic(), &flood::numbered(n, 10).to_string());
            let answer = ends.post(body, 200).await;
            assert_eq!(answer.json()["relay"], "queued");
        }
        ends.signal(Signal::TERM);
        let signalled = Instant::now();
        ends.ends_with(1).await;
        assert!(signalled.elapsed() < Duration::from_secs(6));
        let said = ends.child.log();
        let unsent: u64 = said
            .lines()
            .find_map(|line| line.strip_suffix(" events were accepted and not relayed"))
            .and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no count in {said}"));
        broker.thaw();
        stays.is_ready().await;
        // What was on its way when the node gave up may have been handed over all the same, and is counted as not.
        let mut came = 0;
        take_until_fence(stays, &mut client, &mut came).await;
        assert!(unsent <= EVENTS, "{unsent} of {EVENTS}");
        assert!(came + unsent >= EVENTS, "{came} and {unsent} of {EVENTS}");
    }
}

/// Nodes whose broker is gone, and that have nothing for it, end at once when they are told to, whatever time they have.
pub async fn a_stop_with_nothing_to_send(programs: Programs) {
    let broker = ServerKind::Redis.start();
    let long = "--drain-timeout 10m";
    let mut nodes = Nodes::start(programs.in_turn(), 2, &broker.url(), long).await;
    broker.kill();
    let killed = Instant::now();
    for server in &mut nodes.servers {
        server.is_unready(killed).await;
        server.signal(Signal::TERM);
        server.ends_with(0).await;
    }
}

/// Takes events with consecutive numbers from `next` on, and a fence that is published now behind them.
async fn take_until_fence(server: &Endpoint, client: &mut Client, next: &mut u64) {
    server.publish(&topic(), FENCE).await;
    let end = flood::take(client, next).await;
    assert_eq!(end, Arrival::Event(FENCE.to_owned()));
}
