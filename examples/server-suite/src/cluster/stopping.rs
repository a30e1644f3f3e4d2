//! Servers that are killed, that stand still, and that are told to end under load.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_websockets::Message;

use super::Programs;
use super::world::{self, Kind, fenced, listener, nodes, topic};
use crate::client::{Arrival, Client};
use crate::fixture::flags::LARGE_MAILBOX;
use crate::fixture::{Site, publication};
use crate::flood::{WINDOW, number, numbered};
use crate::until;

/// How long an event may be under way from its publisher to the frame that bears the time: how old it is counts from
/// there.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// A node that is killed is missed, and nothing else happens to the others.
pub async fn a_node_that_is_killed(programs: Programs) {
    let broker = Kind::Redis.shared();
    let prefix = world::prefix();
    let flags = ["--backplane-prefix", &prefix];
    let mut servers = nodes(programs, 3, &broker.url(), &flags).await;
    let killed = servers.remove(0);
    let sites: Vec<&Site> = servers.iter().map(|server| &server.site).collect();
    let mut clients = Vec::new();
    for site in &sites {
        clients.push(listener(site, "").await);
    }
    killed.child.signal(Signal::KILL);
    drop(killed);
    fenced(&sites, &mut clients, &topic(), "killed").await;
    for site in &sites {
        until("the killed node is missed", async || {
            (site.members().await == 1).then_some(())
        })
        .await;
        assert_eq!(site.readiness().await, 200);
        assert_eq!(site.counted("/session_failures").await, 0);
    }
    fenced(&sites, &mut clients, &topic(), "missed").await;
}

/// A node stands still for longer than the time to live: the others go on, and it says that it was deaf and delivers
/// nothing that is older.
pub async fn a_node_that_stands_still(programs: Programs) {
    let short = ["--heartbeat", "500ms", "--time-to-live", "2s"];
    stands_still(programs, &short, Duration::ZERO, Duration::from_secs(2)).await;
}

/// The same with the defaults, for longer than 30 s.
pub async fn a_node_that_stands_still_for_30_s(programs: Programs) {
    let still = Duration::from_secs(32);
    stands_still(
        programs,
        &["--heartbeat", "2s"],
        still,
        Duration::from_secs(30),
    )
    .await;
}

async fn stands_still(programs: Programs, flags: &[&str], at_least: Duration, live: Duration) {
    for still in [0, 1] {
        let broker = Kind::Redis.shared();
        let prefix = world::prefix();
        // The clients do not read, nor answer pings, until the node is thawed.
        let flags = [&["--backplane-prefix", &prefix], flags, LARGE_MAILBOX].concat();
        let mut servers = nodes(programs, 3, &broker.url(), &flags).await;
        let still = servers.remove(still);
        let sites: Vec<&Site> = servers.iter().map(|server| &server.site).collect();
        let mut clients = Vec::new();
        for site in &sites {
            clients.push(listener(site, "").await);
        }
        let mut frozen = listener(&still, "").await;
        still.child.signal(Signal::STOP);
        // Events with the time they were published at, until the others have missed it.
        let start = Instant::now();
        let mut published = Vec::new();
        loop {
            let event = json!({ "at": start.elapsed().as_millis() as u64 }).to_string();
            sites[0].publish(&topic(), &event).await;
            assert_eq!(sites[1].readiness().await, 200);
            published.push(event);
            let missed = sites[0].members().await == 1;
            if missed && start.elapsed() > at_least {
                break;
            }
            assert!(
                start.elapsed() < at_least + crate::PATIENCE,
                "it is not missed"
            );
        }
        let thawed = start.elapsed();
        still.child.signal(Signal::CONT);
        for client in &mut clients {
            for event in &published {
                assert_eq!(client.event().await, *event);
            }
        }
        // It is not ready before it has said what it missed.
        until("the node says that it was deaf", async || {
            (still.counted("/deaf").await > 0).then_some(())
        })
        .await;
        still.is_ready().await;
        let mut all = sites.clone();
        all.push(&still.site);
        world::met(&all).await;
        let before = thawed.saturating_sub(live + UNDER_WAY);
        let old = stale(&mut frozen, sites[0], before).await;
        assert_eq!(
            old, 0,
            "of what was published until {before:?} of {thawed:?}"
        );
        clients.push(frozen);
        for site in &sites {
            assert_eq!(site.counted("/session_failures").await, 0);
        }
    }
}

/// How many events come to a client, before a fence that is published now, that were published before this time.
async fn stale(client: &mut Client, from: &Site, before: Duration) -> usize {
    from.publish(&topic(), "\"fence\"").await;
    let mut old = 0;
    loop {
        let event = client.event().await;
        if event == "\"fence\"" {
            return old;
        }
        let event: Value = event.parse().expect("JSON");
        let at = event["at"].as_u64().expect("a time");
        if Duration::from_millis(at) < before {
            old += 1;
        }
    }
}

/// A node is told to end while it is published to as fast as it answers: whatever it accepted reaches the other node,
/// in order, once; and it ends well before its deadline.
pub async fn a_stop_under_load(programs: Programs) {
    for order in [
        [programs.tokio, programs.smol],
        [programs.smol, programs.tokio],
    ] {
        let [tokio, smol] = order;
        let broker = Kind::Redis.shared();
        let prefix = world::prefix();
        let flags = ["--backplane-prefix", &prefix, "--drain-timeout", "10s"];
        let programs = Programs {
            tokio,
            smol,
            ..programs
        };
        let mut servers = nodes(programs, 2, &broker.url(), &flags).await;
        let mut stays = listener(&servers[1], "").await;
        let mut publisher = listener(&servers[0], "").await;
        let (mut sent, mut accepted) = (0, 0);
        let mut signalled = None;
        loop {
            if sent - accepted < WINDOW {
                let request = json!({
                    "request": "publish", "target": topic(), "event": numbered(sent, 500),
                    "exclude_self": true, "id": sent
                });
                publisher.try_send(Message::text(request.to_string())).await;
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
                servers[0].child.signal(Signal::TERM);
                signalled = Some(Instant::now());
            }
        }
        let signalled = signalled.expect("it ended of the signal");
        let status = servers[0].child.exit().await;
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(signalled.elapsed() < Duration::from_secs(10));
        // What was accepted and whose answer was cut off may come, too.
        let mut came = 0;
        let fence = "\"fence\"";
        while came < accepted {
            assert_eq!(number(&stays.event().await), came);
            came += 1;
        }
        servers[1].publish(&topic(), fence).await;
        loop {
            let event = stays.event().await;
            if event == fence {
                break;
            }
            assert_eq!(number(&event), came);
            came += 1;
        }
        assert!(came <= sent);
    }
}

/// The same while the broker stands still: what was accepted and not handed over is counted by the time the deadline
/// comes, and said.
pub async fn a_stop_without_a_broker(programs: Programs) {
    const EVENTS: u64 = 50;
    for (tokio, smol) in [
        (programs.tokio, programs.smol),
        (programs.smol, programs.tokio),
    ] {
        let broker = Kind::Redis.own();
        let programs = Programs {
            tokio,
            smol,
            ..programs
        };
        let flags = ["--drain-timeout", "2s"];
        let mut servers = nodes(programs, 2, &broker.url(), &flags).await;
        let mut stays = listener(&servers[1], "").await;
        broker.stop();
        for n in 0..EVENTS {
            let body = publication(&topic(), &numbered(n, 10).to_string());
            let answer = servers[0].post(body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["relay"], "queued");
        }
        servers[0].child.signal(Signal::TERM);
        let signalled = Instant::now();
        let status = servers[0].child.exit().await;
        assert!(signalled.elapsed() < Duration::from_secs(6));
        assert_eq!(status.code(), Some(1), "{status}");
        let said = servers[0].child.stderr();
        let unsent: u64 = said
            .lines()
            .find_map(|line| line.strip_suffix(" events were accepted and not relayed"))
            .and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no count in {said}"));
        broker.thaw();
        servers[1].is_ready().await;
        // What was on its way when it gave up may have been handed over all the same, and is counted as not.
        servers[1].publish(&topic(), "\"fence\"").await;
        let mut came = 0;
        loop {
            let event = stays.event().await;
            if event == "\"fence\"" {
                break;
            }
            assert_eq!(number(&event), came);
            came += 1;
        }
        assert!(
            unsent <= EVENTS && came + unsent >= EVENTS,
            "{came} and {unsent}"
        );
    }
}
