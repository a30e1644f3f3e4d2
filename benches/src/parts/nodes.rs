//! From a WebSocket client of one node to those of another, over Redis: the example servers and the peers, each two
//! processes and a Redis of their own.

use std::io;

use benches::load::{Order, Outcome, Pace};
use midplane_testkit::server::Server;

use super::servers::Contender;
use super::websocket::{OURS, SERVE};
use crate::children::{LoadGenerator, ServerProcess};
use crate::race::{Figures, is_ours, race};
use crate::report::{Goal, Lines, Report, Scale};

/// The clients in the room, and the goal for the deliveries to them, as a ratio to the best peer.
const ROOMS: [(usize, f64); 2] = [(1, 5.0), (100, 2.0)];

const SIZE: usize = 64;

/// Events in flight: no more than the mailboxes of the example servers hold, and fewer than socketioxide buffers.
const FLIGHTS: [usize; 3] = [1, 16, 256];

/// The turns of each contender, and the milliseconds of a turn.
const ROUNDS: usize = 3;
const TURN: u64 = 500;

/// The turns at a low rate to one client, in publishes per second.
const RATE: u64 = 500;
const RATE_ROUNDS: usize = 5;
const RATE_TURN: u64 = 1_000;

/// The floor, one node that needs no Redis, then midplane, then the peers.
const CONTENDERS: [Contender; 5] = [
    Contender::new("floor: an epoll loop, one node", "floor", &[], "plain"),
    Contender::new(OURS[0], "tokio-server", SERVE, "midplane"),
    Contender::new(OURS[1], "smol-server", SERVE, "midplane"),
    Contender::new(
        "socketioxide with its adapter",
        "socketioxide",
        &[],
        "socketio",
    ),
    Contender::new(
        "Socket.IO with its adapter",
        "socket.io.js",
        &[],
        "socketio",
    ),
];

/// The servers of a contender, the publisher's first, and the Redis between them. The floor has one server.
struct Nodes {
    contender: &'static Contender,
    servers: Vec<ServerProcess>,
    _redis: Option<Server>,
}

impl Nodes {
    fn start(contender: &'static Contender) -> io::Result<Self> {
        if contender.name == CONTENDERS[0].name {
            return Ok(Self {
                contender,
                servers: vec![contender.start(&[])?],
                _redis: None,
            });
        }
        let redis = Server::redis();
        let url = redis.url();
        let arguments = if is_ours(contender.name) {
            &["--backplane", &url][..]
        } else {
            &[&*url][..]
        };
        let servers = [contender.start(arguments)?, contender.start(arguments)?];
        Ok(Self {
            contender,
            servers: servers.into(),
            _redis: Some(redis),
        })
    }

    fn load(&self, clients: usize) -> io::Result<(&'static str, LoadGenerator)> {
        let (first, last) = (&self.servers[0], &self.servers[self.servers.len() - 1]);
        let load = self.contender.load(last, first, clients)?;
        Ok((self.contender.name, load))
    }
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut nodes = Vec::new();
    for contender in &CONTENDERS {
        if contender.is_there(report) {
            report.progress(format!("starting {}", contender.name));
            nodes.push(Nodes::start(contender)?);
        }
    }
    report.say(format!(
        "A publisher at one node and its clients at another, events of {SIZE} bytes, a fixed number in flight. The floor \
         is one process without a Redis: what the load generator can."
    ));
    for (clients, bound) in ROOMS {
        let loads: io::Result<Vec<_>> = nodes.iter().map(|nodes| nodes.load(clients)).collect();
        let mut loads = loads?;
        throughput(report, clients, bound, &mut loads)?;
        if clients == 1 {
            latency(report, &mut loads)?;
        }
    }
    Ok(())
}

/// Deliveries per second, and the best of each contender.
fn throughput(
    report: &mut Report,
    clients: usize,
    bound: f64,
    loads: &mut [(&'static str, LoadGenerator)],
) -> io::Result<()> {
    let who = match clients {
        1 => "one client".to_owned(),
        clients => format!("{clients} clients"),
    };
    let mut picture = Lines::new(
        format!("Deliveries per second to {who} of another node"),
        ("events in flight", Scale::Logarithmic),
        ("deliveries per second", Scale::Logarithmic),
    );
    let mut races = Vec::new();
    for flight in FLIGHTS {
        report.progress(format!("{who}, {flight} in flight"));
        let order = Order {
            pace: Pace::Flight(flight),
            bytes: SIZE,
            milliseconds: TURN,
        };
        let race = race(&mut *loads, ROUNDS, |load| load.run(order))?;
        let speed = race.most(Outcome::speed);
        picture.points(flight as f64, speed.medians());
        races.push((speed, race.least(Outcome::cost)));
    }
    report.say(format!("### Deliveries per second to {who}"));
    let [low, middle, high] = [&races[0], &races[1], &races[2]];
    report.columns(
        low.0.names(),
        &[
            ("1 in flight", &low.0.short()),
            ("16 in flight", &middle.0.short()),
            ("256 in flight", &high.0.short()),
            ("processor of the servers, us each", &high.1.fixed(2)),
        ],
    );
    let best =
        |of: &dyn Fn(&Figures) -> f64| races.iter().map(|race| of(&race.0)).fold(0.0, f64::max);
    let (floor, peer) = (best(&|speed| speed.floor()), best(&|speed| speed.peer()));
    for name in low.0.ours() {
        let speed = best(&|figures| figures.of(name));
        let goal = Goal::new(format!("to {who}, {name}"), speed, "deliveries/s");
        let goal = goal.floor(floor).peer(peer);
        report.goal(goal.ratio_at_least(speed / peer, bound, "the best peer"));
    }
    report.picture(&format!("nodes-{clients}"), &picture)
}

/// Latencies at a low rate.
fn latency(report: &mut Report, loads: &mut [(&'static str, LoadGenerator)]) -> io::Result<()> {
    report.progress(format!("one client, {RATE} per second"));
    let order = Order {
        pace: Pace::Rate(RATE),
        bytes: SIZE,
        milliseconds: RATE_TURN,
    };
    let race = race(&mut *loads, RATE_ROUNDS, |load| load.run(order))?;
    report.say(format!(
        "### {RATE} publishes per second to one client\n\nIn microseconds, from when an event was due."
    ));
    let (p50, p99) = (race.least(|run| run.p50), race.least(|run| run.p99));
    report.columns(
        p50.names(),
        &[("p50", &p50.fixed(0)), ("p99", &p99.fixed(0))],
    );
    for (what, figures) in [("p50", p50), ("p99", p99)] {
        for name in figures.ours() {
            let figure = format!("{what} at {RATE} publishes/s, {name}");
            report.goal(figures.goal_to_peer(figure, name, "us", 1.0));
        }
    }
    Ok(())
}
