//! Clients that do not keep up: they lose, others do not.

use std::time::{Duration, Instant};

use midplane_testkit::until;
use serde_json::json;

use crate::client::{Arrival, Client};
use crate::fixture::{Program, target};
use crate::{flags, flood};

/// Bytes in each event of a flood.
const SIZE: usize = 8 * 1024;

/// Events of a flood: 16 MiB, four times what Linux buffers for a socket at most.
const EVENTS: u64 = 2_048;

/// A client that never reads changes nothing for the others: they get every event, in order. The
/// slow one is told that it lost some.
pub async fn a_slow_client_changes_nothing_for_others(program: Program) {
    let server = program.start(flags::PATIENT);
    let mut slow = Client::narrow(&server, "user=u").await;
    let mut publisher = Client::connect(&server, "user=u").await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Client::connect(&server, "user=u").await);
    }
    let user = target("user", "u");
    for start in (0..EVENTS).step_by(64) {
        // The others take what was published before more is, so that nothing but the slow client
        // could make them miss any.
        flood::publish(&mut publisher, &user, start..start + 64, SIZE, None).await;
        for other in &mut others {
            for n in start..start + 64 {
                assert_eq!(flood::number(&other.event().await), Some(n));
            }
        }
    }
    for other in &mut others {
        other.got_nothing().await;
    }
    // Were nothing lost, nothing would say so.
    flood::take_until_lost(&mut slow, &mut 0).await;
}

/// A client that stopped reading and reads on is told how much it lost and where: what it received
/// and what it lost are together what was published, and nothing comes twice.
pub async fn what_was_lost_is_counted(program: Program) {
    let server = program.start(flags::SMALL_MAILBOX);
    let mut reader = Client::narrow(&server, "user=u").await;
    let mut publisher = Client::connect(&server, "user=u").await;
    let user = target("user", "u");
    let mut next = 0;
    for round in 1..=2 {
        let published = round * EVENTS;
        flood::publish(&mut publisher, &user, next..published, SIZE, Some(1)).await;
        let mut lost = 0;
        while next < published {
            match reader.next().await {
                Arrival::Event(event) => {
                    let number = flood::number(&event);
                    assert_eq!(number, Some(next), "received + lost == published");
                    next += 1;
                }
                Arrival::Own(own) => {
                    assert_eq!(own["midplane"], "lost", "{own}");
                    let count = own["count"].as_u64().expect("a count");
                    assert_ne!(count, 0);
                    lost += count;
                    next += count;
                }
                end => panic!("{end:?} after {next} of {published}"),
            }
        }
        assert_eq!(next, published);
        assert_ne!(lost, 0, "the mailbox was never full");
        // Caught up, it misses nothing.
        reader.got_nothing().await;
    }
}

/// Clients that never read make the server hold so much and no more, together. Who keeps up beside them loses nothing, and
/// they are told what they lost.
pub async fn what_waits_for_all_is_bounded(program: Program) {
    const SLOW: usize = 24;
    const BOUND: u64 = 4 << 20;
    let server = program.start(flags::SMALL_BACKLOG);
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(Client::narrow(&server, "").await);
    }
    let mut reader = Client::connect(&server, "").await;
    let event = json!("x".repeat(32 * 1024)).to_string();
    let mut most = 0;
    // 1.5 MiB for each, and the same for the one that reads.
    for round in 0..48 {
        for client in &slow {
            server.delivers(&client.target(), &event, 1).await;
        }
        server.delivers(&reader.target(), &event, 1).await;
        assert_eq!(reader.event().await, event, "round {round}");
        let health = server.get("/healthz", 200).await.json();
        let held = health["backlog_bytes"].as_u64();
        most = most.max(held.unwrap_or_else(|| panic!("no backlog in {health}")));
        assert!(most <= BOUND, "{most} bytes wait in round {round}");
    }
    assert!(most > BOUND / 2, "{most} bytes are no pressure");
    reader.got_nothing().await;
    let mut first = slow.swap_remove(0);
    loop {
        match first.next().await {
            Arrival::Event(taken) => assert_eq!(taken, event),
            Arrival::Own(own) => {
                assert_eq!(own["midplane"], "lost", "{own}");
                break;
            }
            end => panic!("{end:?}"),
        }
    }
}

/// A client that reads all the time, and more slowly than its topic goes, is no silent one: it stays, and is told what it
/// lost. Its pong comes late, for it comes to the ping behind all that was written before.
pub async fn a_client_that_reads_slowly_stays(program: Program) {
    const TIME: Duration = Duration::from_secs(6);
    /// 100 kB/s, of a topic with several times that.
    const PACE: Duration = Duration::from_millis(80);
    let server = program.start(flags::ALWAYS_ASKED);
    let mut slow = Client::connect(&server, "user=u").await;
    let (user, event) = (target("user", "u"), json!("x".repeat(SIZE)).to_string());
    let (mut lost, mut pace) = (false, tokio::time::interval(PACE));
    let start = Instant::now();
    while start.elapsed() < TIME {
        for _ in 0..8 {
            assert_eq!(
                server.publish(&user, &event).await,
                1,
                "after {:?}",
                start.elapsed()
            );
        }
        // How fast a client reads is a time, as nothing else here is.
        pace.tick().await;
        match slow.next().await {
            Arrival::Event(_) => {}
            Arrival::Own(own) if own["midplane"] == "lost" => lost = true,
            other => panic!("{other:?} after {:?}", start.elapsed()),
        }
    }
    assert!(lost, "the client kept up");
}

/// A client that stops reading for good is cut off, and its place is free again.
pub async fn a_stuck_client_is_dropped(program: Program) {
    let server = program.start(flags::IMPATIENT_WRITES);
    let stuck = Client::narrow(&server, "user=u").await;
    let event = json!("x".repeat(60 * 1024)).to_string();
    until("the stuck client is dropped", async || {
        (server.publish(&target("user", "u"), &event).await == 0).then_some(())
    })
    .await;
    server.settles_at(0).await;
    drop(stuck);
}

/// A client that sends requests and never reads the answers cannot make the server hold them all:
/// at some point it is not read from, or dropped.
pub async fn a_client_that_only_talks_is_held_back(program: Program) {
    let (server, [mut other]) = program.start_with("", ["user=u"]).await;
    let mut talker = Client::narrow(&server, "").await;
    // Each answer repeats the id, so answers are as large as requests.
    let request = json!({"request": "dance", "id": "x".repeat(8 * 1024)}).to_string();
    let mut sent = 0;
    while talker.sends_at_once(&request).await {
        sent += request.len();
        assert!(sent < 64 << 20, "the server takes in requests without end");
    }
    server.delivers(&target("user", "u"), "1", 1).await;
    other.got(&["1"]).await;
}
