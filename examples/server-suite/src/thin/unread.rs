//! Clients that never read, each with events of its own: what they take of memory while more and more is published to them.

use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use midplane_testkit::process::resident_memory;
use midplane_testkit::succeeds;
use serde_json::json;
use tokio::io::{AsyncWriteExt, BufReader};

use super::client;
use crate::endpoint::Endpoint;
use crate::fixture::{publication, target};
use crate::http::{Answer, Request, connect};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The bytes of each event; the largest message that a server takes by default has 64 KiB.
const EVENT: usize = 60 * 1024;

/// How many events are published to each client, and over how many connections.
const ROUNDS: u64 = 12;
const PUBLISHERS: usize = 4;

/// What servers hold by default: in all mailboxes together, and in each; and, beside it, what is being written to a client.
const BACKLOG: u64 = 1024 * MIB;
const MAILBOX: u64 = MIB;
const BEING_WRITTEN: u64 = 16 * KIB + 64 * KIB;

/// What a server and the system hold.
#[derive(Debug, Clone, Copy)]
struct Memory {
    server: u64,
    system: u64,
}

/// What clients that never read took.
#[derive(Debug, Clone)]
pub(super) struct Unread {
    clients: u64,
    alone: Memory,
    /// After each event that was published to every client.
    rounds: Vec<Memory>,
}

impl Memory {
    fn now(server: u32) -> Self {
        Self {
            server: resident_memory(server).unwrap_or(0),
            system: tcp_memory(),
        }
    }

    fn beyond(self, other: Self) -> Self {
        Self {
            server: self.server.saturating_sub(other.server),
            system: self.system.saturating_sub(other.system),
        }
    }
}

/// Attaches so many clients to a topic of its own each, and publishes to all of them in turn; the server has this process id.
/// Meanwhile a prompt client's latencies are measured.
pub(super) async fn measure(
    server: Endpoint,
    process: u32,
    clients: usize,
    say: &dyn Fn(&str),
) -> (Unread, Vec<Duration>) {
    let alone = Memory::now(process);
    let topic = |client: usize| format!("unread-{client}");
    let mut sockets = Vec::with_capacity(clients);
    for client in 0..clients {
        sockets.push(client::never_read(server, &topic(client)).await);
    }
    say(&format!("{clients} clients never read"));
    let (timed, every) = super::TIMED;
    let latencies = tokio::spawn(client::latencies(server, timed, every));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let publishers = (0..PUBLISHERS).map(|first| {
            let own = (first..clients).step_by(PUBLISHERS);
            publish(server, own.map(topic))
        });
        join_all(publishers).await;
        rounds.push(Memory::now(process));
    }
    drop(sockets);
    let latencies = latencies.await.expect("a prompt client");
    let clients = clients as u64;
    (
        Unread {
            clients,
            alone,
            rounds,
        },
        latencies,
    )
}

/// Publishes an event to each of these topics, which one client is in, and over one connection.
async fn publish(server: Endpoint, topics: impl Iterator<Item = String>) {
    let event = json!("x".repeat(EVENT)).to_string();
    let mut stream = BufReader::new(connect(server.address).await);
    for topic in topics {
        let body = publication(&target("topic", &topic), &event);
        let request = Request::publish(&body).header("connection", "keep-alive");
        let bytes = request.bytes(server.address);
        succeeds("the event leaves", stream.write_all(&bytes)).await;
        let answer = Answer::read(&mut stream).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// What the system keeps for TCP sockets, in bytes.
fn tcp_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

impl Unread {
    /// What the server itself holds for these clients at most, under its default settings.
    fn bound(&self) -> u64 {
        BACKLOG.min(self.clients * MAILBOX) + self.clients * BEING_WRITTEN
    }

    /// Whether the server held no more than it may.
    pub(super) fn holds(&self) -> bool {
        let most = self
            .rounds
            .iter()
            .map(|round| round.beyond(self.alone).server);
        most.max().is_none_or(|most| most <= self.bound())
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        let size = EVENT as u64 / KIB;
        writeln!(
            f,
            "{} clients that never read, {size} KiB each in a turn:",
            self.clients
        )?;
        for (round, memory) in self.rounds.iter().enumerate() {
            let taken = memory.beyond(self.alone);
            let published = mib((round as u64 + 1) * EVENT as u64 * self.clients);
            let (server, system) = (mib(taken.server), mib(taken.system));
            writeln!(
                f,
                "{published:>8.0} MiB published: {server:>6.0} MiB of the server, {system:>6.0} MiB of the system"
            )?;
        }
        writeln!(
            f,
            "the server may take {:.0} MiB: min(--max-backlog, clients × --mailbox-bytes) + clients × (16 KiB + --max-message)",
            mib(self.bound())
        )
    }
}
