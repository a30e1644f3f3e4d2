//! The page.

use super::constants::Constants;
use super::load::Design;
use crate::report::short;

/// Connections that share a bus where there are cells.
const CELL: f64 = 1e6;

const MOST_LANES: f64 = 65_536.0;

const GIB: f64 = 1_073_741_824.0;

/// The part of the processors of a node of two that it may use.
const PROCESSORS: f64 = 1.5;

/// What the driver keeps track of unless it is told otherwise.
const PEERS: f64 = 1_024.0;

/// The mailbox of the example server: messages, and bytes.
const MESSAGES: f64 = 256.0;
const MAILBOX: f64 = 1_048_576.0;

/// A row of the large table: what, by which formula, and how it is computed and written.
type Row<'a> = (&'a str, &'a str, Box<dyn Fn(&Design) -> String + 'a>);

pub(super) fn write(constants: &Constants) -> String {
    let designs = [
        ("1M, broadcast", Design::of(1e6, 1e6, 1.0)),
        ("1M, lanes", Design::of(1e6, 1e6, MOST_LANES)),
        ("100M, broadcast", Design::of(1e8, 1e8, 1.0)),
        ("100M, lanes", Design::of(1e8, 1e8, MOST_LANES)),
        ("100M, cells of 1M", Design::of(1e8, CELL, 1.0)),
    ];
    let mut page = String::from(
        "# A million connections, and a hundred\n\n\
         On paper: `cargo run --release --locked -p benches -- report scale` computes this page from `report.json` and \
         `REPORT.md`, by the formulas that stand in it (`src/parts/scale/load.rs`). No such number of \
         connections was ever held. What the constants leave out is at the end.\n\n",
    );
    measured(&mut page, constants);
    assumed(&mut page, &designs[0].1);
    carried(&mut page, constants, &designs);
    breaks(&mut page, constants);
    knobs(&mut page, constants);
    page.push_str(LEFT_OUT);
    page
}

fn table(page: &mut String, header: &[&str], rows: &[Vec<String>]) {
    page.push_str(&format!("| {} |\n|---", header.join(" | ")));
    page.push_str(&"|---".repeat(header.len() - 1));
    page.push_str("|\n");
    for row in rows {
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page.push('\n');
}

fn measured(page: &mut String, constants: &Constants) {
    page.push_str("## What was measured\n\n");
    let rows: Vec<Vec<String>> = constants
        .all()
        .iter()
        .map(|constant| {
            vec![
                format!("`{}`", constant.letter),
                constant.what.to_owned(),
                format!("{} {}", short(constant.value), constant.unit),
                constant.source.clone(),
            ]
        })
        .collect();
    table(page, &["", "", "value", "where it stands"], &rows);
}

fn assumed(page: &mut String, design: &Design) {
    page.push_str("## What is assumed\n\n");
    let rows = [
        (
            "C",
            "connections of a node; `soak` holds as many on one machine",
            design.per_node,
        ),
        (
            "d",
            "events that reach a connection in a second, of 64 bytes",
            design.deliveries,
        ),
        (
            "r",
            "connections in a topic; every event is published to one",
            design.room,
        ),
        (
            "o",
            "connections in an org; each is also in a user and a session of its own",
            design.org,
        ),
        (
            "L",
            "lanes where there are lanes, as many as there may be",
            MOST_LANES,
        ),
        ("i", "seconds between two heartbeats", design.interval),
    ];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(letter, what, value)| vec![format!("`{letter}`"), (*what).to_owned(), short(*value)])
        .collect();
    table(page, &["", "", "value"], &rows);
    page.push_str(
        "Connections are on any node, whatever they are in. Events are too far apart to be batched: each is a frame.\n\n",
    );
}

fn carried(page: &mut String, constants: &Constants, designs: &[(&str, Design)]) {
    let rows: Vec<Row<'_>> = vec![
        (
            "connections that share a bus",
            "`B`",
            Box::new(|of| short(of.on_bus)),
        ),
        (
            "nodes on it",
            "`n = B / C`",
            Box::new(|of| short(of.nodes())),
        ),
        (
            "nodes in all",
            "`N / C`",
            Box::new(|of| short(of.connections / of.per_node)),
        ),
        (
            "**a node**: memory of its connections, GiB",
            "`C (m + g)`",
            Box::new(|of| short(of.memory(constants) / GIB)),
        ),
        (
            "deliveries/s",
            "`C d`",
            Box::new(|of| short(of.per_node * of.deliveries)),
        ),
        (
            "processors for them",
            "`C d w`",
            Box::new(|of| short(of.writing(constants))),
        ),
        (
            "publishes on the bus/s",
            "`P = B d / r`",
            Box::new(|of| short(of.publishes())),
        ),
        (
            "different targets on the node",
            "`T = 3 C + (B/o)(1 - e^(-o/n)) + (B/r)(1 - e^(-r/n))`",
            Box::new(|of| short(of.targets())),
        ),
        (
            "of the publishes it hears",
            "`a = 1 - e^(-T/L)`, or 1",
            Box::new(|of| format!("{:.0}%", of.heard() * 100.0)),
        ),
        (
            "of the publishes it has members for",
            "`u = 1 - e^(-r/n)`",
            Box::new(|of| format!("{:.0}%", of.useful() * 100.0)),
        ),
        (
            "frames of events it hears/s",
            "`P a`",
            Box::new(|of| short(of.publishes() * of.heard())),
        ),
        (
            "their bytes/s",
            "`P a b`",
            Box::new(|of| short(of.event_bytes(constants))),
        ),
        (
            "processors for them",
            "`P a f`",
            Box::new(|of| short(of.hearing(constants))),
        ),
        (
            "heartbeats it hears/s",
            "`n / i`",
            Box::new(|of| short(of.beats())),
        ),
        (
            "their bytes/s",
            "`(n / i)(h + l x)`, `x = min(L, P i / n)`",
            Box::new(|of| short(of.beat_bytes(constants))),
        ),
        (
            "processors for them",
            "`(n / i) k`",
            Box::new(|of| short(of.beating(constants))),
        ),
        (
            "processors together",
            "",
            Box::new(|of| format!("**{}**", short(of.processors(constants)))),
        ),
        (
            "**the bus**: messages in/s",
            "`P + n / i`",
            Box::new(|of| short(of.publishes() + of.beats())),
        ),
        (
            "messages out/s",
            "`n P a + n^2 / i`",
            Box::new(|of| short(of.copies())),
        ),
        (
            "of that, heartbeats",
            "`n^2 / i`",
            Box::new(|of| short(of.nodes() * of.beats())),
        ),
        (
            "of what one Redis passes on",
            "`out / M`",
            Box::new(|of| format!("**{} x**", short(of.redises(constants)))),
        ),
    ];
    page.push_str("## What nodes and their bus carry\n\n");
    let mut header = vec!["", "formula"];
    header.extend(designs.iter().map(|(name, _)| *name));
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(what, formula, of)| {
            let mut row = vec![(*what).to_owned(), (*formula).to_owned()];
            row.extend(designs.iter().map(|(_, design)| of(design)));
            row
        })
        .collect();
    table(page, &header, &rows);
}

/// The first limit on the way up, and those behind it.
fn breaks(page: &mut String, constants: &Constants) {
    let broadcast = Design::of(0.0, 0.0, 1.0);
    let lanes = Design::of(0.0, 0.0, MOST_LANES);
    let by_redis = |design: &Design| design.most(|of| of.redises(constants) <= 1.0);
    let by_node = |design: &Design| design.most(|of| of.processors(constants) <= PROCESSORS);
    let by_beats =
        |design: &Design| design.most(|of| of.nodes() * of.beats() <= constants.redis.value);
    let mut limits = [
        (
            "one Redis hands out no more, broadcast",
            by_redis(&broadcast),
        ),
        ("one Redis hands out no more, lanes", by_redis(&lanes)),
        (
            "the driver keeps track of no more nodes (`Config::peers` is 1,024)",
            (PEERS + 1.0) * broadcast.per_node,
        ),
        ("one Redis hands out heartbeats alone", by_beats(&broadcast)),
        (
            "a node has no more of two processors than 1.5, broadcast",
            by_node(&broadcast),
        ),
    ];
    limits.sort_by(|one, other| one.1.total_cmp(&other.1));
    page.push_str("## Where it breaks first\n\nOf connections on one bus, in the order in which they are met:\n\n");
    let rows: Vec<Vec<String>> = limits
        .iter()
        .map(|(what, most)| {
            vec![
                (*what).to_owned(),
                short(*most),
                short(most / broadcast.per_node),
            ]
        })
        .collect();
    table(page, &["", "connections", "nodes"], &rows);
    let small = Design {
        per_node: 2_000.0,
        ..Design::of(1e6, 1e6, MOST_LANES)
    };
    page.push_str(&format!(
        "The bus breaks before its nodes do. Lanes do not help here: a node of {} connections has {} different targets, \
         which fall on {:.0}% of {} lanes, though it has members for {:.0}% of the publishes where nodes are many. \
         With {} connections on a node it would be {:.0}%, of {} nodes. Lanes help few targets on many nodes; the part \
         about growth measured those.\n\n",
        short(lanes.per_node),
        short(Design::of(1e8, 1e8, MOST_LANES).targets()),
        Design::of(1e8, 1e8, MOST_LANES).heard() * 100.0,
        short(MOST_LANES),
        Design::of(1e8, 1e8, MOST_LANES).useful() * 100.0,
        short(small.per_node),
        small.heard() * 100.0,
        short(small.nodes()),
    ));
}

/// One thing at a time is changed.
fn knobs(page: &mut String, constants: &Constants) {
    let base = Design::of(0.0, 0.0, 1.0);
    let by_redis =
        |design: &Design, redises: f64| short(design.most(|of| of.redises(constants) <= redises));
    let by_beats =
        |design: &Design| short(design.most(|of| of.nodes() * of.beats() <= constants.redis.value));
    let gathered = constants.batched.value / constants.redis.value;
    let rarer = Design {
        deliveries: 0.1,
        ..base
    };
    let calm = Design {
        interval: 10.0,
        ..base
    };
    let larger = Design {
        room: 1_000.0,
        ..base
    };
    let fuller = Design {
        per_node: 200_000.0,
        ..base
    };
    let rows = [
        ("as assumed", by_redis(&base, 1.0), by_beats(&base)),
        (
            "heartbeats every 10 s",
            by_redis(&calm, 1.0),
            by_beats(&calm),
        ),
        (
            "200,000 connections a node",
            by_redis(&fuller, 1.0),
            by_beats(&fuller),
        ),
        (
            "an event every 10 s",
            by_redis(&rarer, 1.0),
            by_beats(&rarer),
        ),
        ("topics of 1,000", by_redis(&larger, 1.0), by_beats(&larger)),
        (
            "a Redis Cluster of 8, lanes spread over it",
            by_redis(
                &Design {
                    lanes: MOST_LANES,
                    ..base
                },
                8.0,
            ),
            by_beats(&base),
        ),
    ];
    page.push_str("## Which knob moves it\n\nThe connections that one bus carries, by all it hands out, and by heartbeats alone:\n\n");
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(what, all, beats)| vec![(*what).to_owned(), all.clone(), beats.clone()])
        .collect();
    table(page, &["", "by all", "by heartbeats"], &rows);
    page.push_str(&format!(
        "- **Nodes with more connections**: what a bus hands out grows with the number of nodes; a node's memory with \
         its connections.\n\
         - **Heartbeat interval**: it moves what n^2 costs, and nothing else. A dead session is noticed after two.\n\
         - **Lanes**: see above. In a Redis Cluster they are also what is spread over its nodes, all but the heartbeats: \
         these are on lane 0, and so on one of them.\n\
         - **Several buses**: cells, each a bus with its nodes, for tenants that never meet. A hundred of a million are \
         the first column a hundred times over. Nothing here carries an event from cell to cell.\n\
         - **Batches**: publishers that are busy gather what they send by themselves. Measured with as many as go, a \
         pair of nodes moves {gathered:.1} times what the raw protocol does one by one. It takes so much traffic from \
         each node that one write is under way when the next event comes, far more than {} publishes/s of a node.\n\
         - **Mailboxes**: clients that do not read cost up to {} each, {} GiB of a node where nobody reads, by the \
         server's defaults; {} events of 64 bytes, which share what they carry with the other mailboxes, fill one first.\n\n",
        short(base.per_node * base.deliveries / base.room),
        "1 MiB",
        short(base.per_node * MAILBOX / GIB),
        MESSAGES,
    ));
}

/// What the constants do not say.
const LEFT_OUT: &str = "## What was not measured\n\n\
- More than 50,000 connections, more than 64 nodes, more than one machine, or any network but loopback.\n\
- Kernel memory of a socket, some KiB that are not resident in the process; TLS.\n\
- What a Redis needs to hand one message to many: `M` is that of one writer and one reader, who shared two processors \
with it. Copies should be cheaper than that, so the bus may carry more than stands here.\n\
- What a node pays for a frame out of a socket: `f` is by the memory bus, every node on one thread, with nothing else in \
its caches.\n\
- Everyone coming back at once after a node or the bus was lost: handshakes, joins, subscriptions of lanes.\n\
- Uneven rooms. One of a million members is a delivery to every connection, whatever the bus does.\n\
- Rolling deployments, several zones, and what the members of a cluster of thousands do when many time out together.\n";
