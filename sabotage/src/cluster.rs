//! Sins against the cluster and its driver, which whole nodes in simulated time must show.

use crate::sins::Sin;

const CONFORMANCE: &str = "midplane-conformance";
const NODES: &[&str] = &["--test", "simulation"];

const ENGINE: &str = "core/src/cluster/engine/mod.rs";
const JOBS: &str = "core/src/cluster/engine/jobs.rs";
const TELL: &str = "core/src/cluster/engine/tell.rs";
const CLUSTER: &str = "core/src/cluster/mod.rs";
const OUTGOING: &str = "core/src/cluster/outgoing.rs";
const NODE: &str = "core/src/node/mod.rs";
const RECEIVE: &str = "core/src/node/receive.rs";

/// The named tests.
const FINE: &str = "nothing_is_lost_or_reported_where_nothing_is_wrong";
const LOSSY: &str = "what_a_lossy_bus_loses_lies_in_gaps";
const BREAKING: &str = "what_is_lost_while_everything_breaks_lies_in_gaps";
const EVERYTHING: &str = "everything_at_once";
const LANES: &str = "everything_at_once_on_lanes";

const fn sin(
    name: &'static str,
    file: &'static str,
    (sound, broken): (&'static str, &'static str),
    test: &'static str,
) -> Sin {
    Sin {
        name,
        file,
        sound,
        broken,
        package: CONFORMANCE,
        suite: NODES,
        test,
    }
}

pub(crate) const SINS: &[Sin] = &[
    sin(
        "nodes 1: a node hears its own echo",
        NODE,
        (
            "self.receive_own(now, &frame);",
            "self.receive_own(now, &frame);\n                self.receive_other(now, &frame);",
        ),
        FINE,
    ),
    sin(
        "nodes 1: what was heard before is heard again",
        RECEIVE,
        (
            "self.counters.duplicates += 1;\n                    false",
            "self.counters.duplicates += 1;\n                    true",
        ),
        LOSSY,
    ),
    sin(
        "nodes 3: the driver takes the newest event first",
        ENGINE,
        (
            "self.messages.drain(..) {",
            "self.messages.drain(..).rev() {",
        ),
        FINE,
    ),
    sin(
        "nodes 3: the frames of a batch change places",
        JOBS,
        ("frames.push(outbound);", "frames.insert(0, outbound);"),
        FINE,
    ),
    sin(
        "nodes 4: a gap is not told",
        TELL,
        (
            "self.notices.tell(&Notice::Gap { origin, lane, run });",
            "let _ = (origin, lane, run);",
        ),
        LOSSY,
    ),
    sin(
        "nodes 4: a gap claims one number too many",
        TELL,
        (
            "self.notices.tell(&Notice::Gap { origin, lane, run });",
            "let mut run = run;\n                    run.last += 1;\n                    self.notices.tell(&Notice::Gap { origin, lane, run });",
        ),
        LOSSY,
    ),
    sin(
        "nodes 4: deafness is not told",
        TELL,
        (
            "} => self.notices.tell(&Notice::Deaf {\n                    origin,\n                    since,\n                    until,\n                }),",
            "} => {\n                    let _ = (origin, since, until);\n                }",
        ),
        BREAKING,
    ),
    sin(
        "nodes 4: a refused relay is called queued",
        CLUSTER,
        (
            "Err(refusal) => Relay::Refused(refusal),",
            "Err(_) => Relay::Queued,",
        ),
        EVERYTHING,
    ),
    sin(
        "nodes 4: a join is said to reach everywhere before it does",
        TELL,
        (
            "Phase::Open(open) if open.lanes.contains(&lane) => {",
            "Phase::Open(_) => {",
        ),
        LANES,
    ),
    sin(
        "nodes 4: a new session subscribes lane 0 alone",
        ENGINE,
        (
            "open.start(Job::Subscribe(lanes), until);",
            "lanes.truncate(1);
                    open.start(Job::Subscribe(lanes), until);",
        ),
        LANES,
    ),
    sin(
        "nodes 5: the queue to the bus has no bound",
        OUTGOING,
        (
            "if state.bytes + state.held.bytes + size > state.capacity {",
            "if state.bytes + state.held.bytes + size > state.capacity && false {",
        ),
        EVERYTHING,
    ),
    sin(
        "nodes 7: the canary is ignored",
        NODE,
        (
            "if self.canary().is_some_and(|due| now > due) || self.is_stalled(now) {",
            "if self.is_stalled(now) {",
        ),
        BREAKING,
    ),
    sin(
        "nodes 7: a node does not say that it is down",
        TELL,
        (
            "News::Down => self.notices.tell(&Notice::State(State::Degraded)),",
            "News::Down => {}",
        ),
        BREAKING,
    ),
    sin(
        "nodes 7: a session that died is not followed by another",
        ENGINE,
        (
            "self.phase = Phase::Pausing(now + wait);",
            "self.phase = Phase::Pausing(now + wait * 10_000);",
        ),
        BREAKING,
    ),
    sin(
        "nodes: a receipt forgets the sinks of its node",
        CLUSTER,
        (
            "\n        Receipt::new(local, relay)",
            "\n        let _ = local;\n        Receipt::new(Delivered::default(), relay)",
        ),
        FINE,
    ),
];
