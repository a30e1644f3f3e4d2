//! From a WebSocket client of one node to those of another, over Redis: the example servers and the peers,
//! each two processes and a Redis of their own.

use std::io;

use benches::load::Outcome;
use midplane_testkit::server;

use super::servers::{Contender, Running, rounds};
use super::websocket::{OURS, SERVE};
use crate::children::Server;
use crate::report::{Goal, Lines, Report, Scale, short};

/// How many clients are in the room, and what the deliveries to them are to be to the best peer's.
const ROOMS: [(usize, f64); 2] = [(1, 5.0), (100, 2.0)];

const SIZE: usize = 64;

/// No more than the example servers' mailboxes hold, and less than socketioxide's buffers do.
const FLIGHTS: [usize; 3] = [1, 16, 256];

/// How often each contender has its turn, and for how many milliseconds.
const ROUNDS: usize = 3;
const TURN: u64 = 500;

/// The same at a low rate, in publishes per second, to one client.
const RATE: u64 = 500;
const RATE_ROUNDS: usize = 5;
const RATE_TURN: u64 = 1_000;

/// One node, which needs no Redis: what the load generator can.
const FLOOR: Contender = Contender::new("floor: an epoll loop, one node", "floor", &[], "plain");

const CONTENDERS: [Contender; 4] = [
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

/// A contender's servers, and the Redis between them.
struct Pair {
    contender: &'static Contender,
    publishing: Server,
    /// The floor has one server.
    subscribed: Option<Server>,
    _redis: Option<server::Server>,
}

impl Pair {
    fn start(contender: &'static Contender) -> io::Result<Result<Self, String>> {
        let redis = server::Server::redis();
        let url = redis.url();
        let ours = OURS.contains(&contender.name);
        let arguments = if ours {
            &["--backplane", &url][..]
        } else {
            &[&*url][..]
        };
        let mut servers = Vec::new();
        for _ in 0..2 {
            match contender.start(arguments)? {
                Ok(server) => servers.push(server),
                Err(why) => return Ok(Err(why)),
            }
        }
        let subscribed = servers.pop();
        let publishing = servers.pop();
        let publishing = publishing.ok_or_else(|| io::Error::other("two were started"))?;
        Ok(Ok(Self {
            contender,
            publishing,
            subscribed,
            _redis: Some(redis),
        }))
    }

    fn floor() -> io::Result<Self> {
        Ok(Self {
            contender: &FLOOR,
            publishing: FLOOR.start(&[])?.map_err(io::Error::other)?,
            subscribed: None,
            _redis: None,
        })
    }

    fn load(&self, clients: usize) -> io::Result<Running> {
        let subscribed = self.subscribed.as_ref().unwrap_or(&self.publishing);
        let load = self.contender.load(subscribed, &self.publishing, clients)?;
        Ok(Running::new(self.contender.name, load))
    }
}

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let mut pairs = vec![Pair::floor()?];
    for contender in &CONTENDERS {
        report.progress(format!("starting {}", contender.name));
        match Pair::start(contender)? {
            Ok(pair) => pairs.push(pair),
            Err(why) => report.say(format!("{} is absent: {why}", contender.name)),
        }
    }
    report.say(format!(
        "A publisher at one node and its clients at another, events of {SIZE} bytes, so many in flight. The floor is \
         one process without a Redis, and so what the load generator can."
    ));
    for (clients, bound) in ROOMS {
        let mut running = pairs
            .iter()
            .map(|pair| pair.load(clients))
            .collect::<io::Result<Vec<Running>>>()?;
        fast(report, clients, bound, &mut running)?;
        if clients == 1 {
            prompt(report, &mut running)?;
        }
    }
    Ok(())
}

/// As many as go.
fn fast(
    report: &mut Report,
    clients: usize,
    bound: f64,
    running: &mut [Running],
) -> io::Result<()> {
    let who = match clients {
        1 => "one client".to_owned(),
        clients => format!("{clients} clients"),
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    rows.extend(running.iter().map(|one| vec![one.name.to_owned()]));
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    lines.extend(running.iter().map(|one| (one.name.to_owned(), Vec::new())));
    for flight in FLIGHTS {
        report.progress(format!("{who}, {flight} in flight"));
        rounds(running, ROUNDS, |load| load.flight(SIZE, flight, TURN))?;
        for (at, one) in running.iter().enumerate() {
            let speed = one.median(Outcome::speed);
            lines[at].1.push((flight as f64, speed));
            rows[at].push(short(speed));
        }
    }
    for (row, one) in rows.iter_mut().zip(&*running) {
        row.push(format!("{:.2}", one.median(Outcome::cost)));
    }
    report.say(format!("### Deliveries per second to {who}"));
    let mut header = vec![String::new()];
    header.extend(FLIGHTS.map(|flight| format!("{flight} in flight")));
    header.push("processor of the servers, us each".to_owned());
    let header: Vec<&str> = header.iter().map(|text| &**text).collect();
    report.table(&header, &rows);
    let best: Vec<(&str, f64)> = lines
        .iter()
        .map(|(name, points)| {
            let speeds = points.iter().map(|point| point.1);
            (&**name, speeds.fold(0.0, f64::max))
        })
        .collect();
    let peers = best[1..].iter().filter(|(name, _)| !OURS.contains(name));
    let peer = peers.map(|peer| peer.1).fold(0.0, f64::max);
    for (name, speed) in best.iter().filter(|(name, _)| OURS.contains(name)) {
        let goal = Goal::new(format!("to {who}, {name}"), *speed, "deliveries/s");
        report.goal(goal.floor(best[0].1).peer(peer).ratio_at_least(
            speed / peer,
            bound,
            "the best peer",
        ));
    }
    report.picture(
        &format!("nodes-{clients}"),
        &Lines {
            title: &format!("Deliveries per second to {who} of another node"),
            x: ("events in flight", Scale::Logarithmic),
            y: ("deliveries per second", Scale::Logarithmic),
            lines,
        },
    )
}

/// One now and then.
fn prompt(report: &mut Report, running: &mut [Running]) -> io::Result<()> {
    report.progress(format!("one client, {RATE} per second"));
    rounds(running, RATE_ROUNDS, |load| {
        load.rate(SIZE, RATE, RATE_TURN)
    })?;
    report.say(format!(
        "### {RATE} publishes per second to one client\n\nIn microseconds, from when an event was due."
    ));
    let at = |of: fn(&Outcome) -> f64| -> Vec<f64> {
        running.iter().map(|one| one.median(of)).collect()
    };
    let (p50, p99) = (at(|outcome| outcome.p50), at(|outcome| outcome.p99));
    let rows: Vec<Vec<String>> = running
        .iter()
        .zip(p50.iter().zip(&p99))
        .map(|(one, (p50, p99))| {
            vec![
                one.name.to_owned(),
                format!("{p50:.0}"),
                format!("{p99:.0}"),
            ]
        })
        .collect();
    report.table(&["", "p50", "p99"], &rows);
    for (what, values) in [("p50", p50), ("p99", p99)] {
        let all = || running.iter().zip(&values).skip(1);
        let peers = all().filter(|(one, _)| !OURS.contains(&one.name));
        let peer = peers.map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        for (one, value) in all().filter(|(one, _)| OURS.contains(&one.name)) {
            let figure = format!("{what} at {RATE} publishes/s, {}", one.name);
            let goal = Goal::new(figure, *value, "us").floor(values[0]).peer(peer);
            report.goal(goal.ratio_at_most(value / peer, 1.0, "the best peer"));
        }
    }
    Ok(())
}
