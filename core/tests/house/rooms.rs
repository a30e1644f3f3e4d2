//! The rooms of the core, and what each may know. docs/ARCHITECTURE.md says what for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::circles::arrows;
use crate::sources::crates;

/// Each room of `core/src`, from the ground up, and the rooms that it imports from.
const KNOWS: [(&str, &[&str]); 26] = [
    ("id", &[]),
    ("host", &[]),
    ("time", &[]),
    ("bus", &[]),
    ("runtime", &["time"]),
    ("node_id", &[]),
    ("target", &["id"]),
    ("audience", &["target"]),
    ("missed", &["bus", "time"]),
    ("member", &["node_id", "time"]),
    ("random", &["time"]),
    ("backoff", &["random"]),
    ("event", &["target"]),
    ("receipt", &["audience"]),
    ("lane_map", &["audience", "bus", "target"]),
    (
        "question",
        &["audience", "event", "node_id", "receipt", "target"],
    ),
    (
        "registry",
        &[
            "audience", "bus", "event", "host", "id", "missed", "question", "receipt", "target",
            "time",
        ],
    ),
    ("mailbox", &["event", "missed", "registry", "target"]),
    (
        "envelope",
        &[
            "audience", "bus", "event", "member", "node_id", "question", "receipt", "target",
        ],
    ),
    (
        "node",
        &[
            "audience", "bus", "envelope", "event", "lane_map", "member", "node_id", "question",
            "random", "receipt", "target", "time",
        ],
    ),
    (
        "notice",
        &["host", "member", "missed", "node_id", "receipt"],
    ),
    (
        "backplane",
        &[
            "audience", "event", "id", "notice", "question", "receipt", "registry", "target",
        ],
    ),
    (
        "ask",
        &["audience", "backplane", "event", "question", "target"],
    ),
    (
        "status",
        &["mailbox", "member", "node", "receipt", "registry"],
    ),
    (
        "local",
        &[
            "audience",
            "backplane",
            "event",
            "host",
            "id",
            "notice",
            "question",
            "receipt",
            "registry",
            "status",
            "target",
        ],
    ),
    (
        "cluster",
        &[
            "audience",
            "backoff",
            "backplane",
            "bus",
            "event",
            "host",
            "id",
            "lane_map",
            "member",
            "missed",
            "node",
            "node_id",
            "notice",
            "question",
            "random",
            "receipt",
            "registry",
            "status",
            "target",
            "time",
        ],
    ),
];

#[test]
fn a_room_knows_what_it_must_and_nothing_else() {
    let crates = crates();
    let core = crates
        .iter()
        .find(|of| of.root == Path::new("core/src/lib.rs"));
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in arrows(core.expect("the core is among the crates")) {
        let others = known.entry(room(&from)).or_default();
        others.extend(to.iter().map(|to| room(to)).filter(|to| *to != room(&from)));
    }
    // The crate's root exports what the others hold.
    known.remove("lib");
    let mut wrong = Vec::new();
    let mut below = BTreeSet::new();
    for (name, knows) in KNOWS {
        let found = known.remove(name).unwrap_or_default();
        let stated: BTreeSet<String> = knows.iter().map(|name| (*name).into()).collect();
        wrong.extend(
            found
                .difference(&stated)
                .map(|other| format!("{name} must not know {other}")),
        );
        wrong.extend(
            stated
                .difference(&found)
                .map(|other| format!("{name} does not know {other} any more")),
        );
        wrong.extend(
            stated
                .difference(&below)
                .map(|other| format!("{name} stands below {other}")),
        );
        below.insert(name.to_string());
    }
    wrong.extend(
        known
            .keys()
            .map(|name| format!("{name} is in no table of rooms")),
    );
    assert!(wrong.is_empty(), "{}\nknown: {known:#?}", wrong.join("\n"));
}

/// The folder or file of `core/src` that a file belongs to.
fn room(file: &Path) -> String {
    let inside = file
        .strip_prefix("core/src")
        .expect("the file is of the core");
    let first = inside.iter().next().expect("a path has a first part");
    Path::new(first)
        .with_extension("")
        .to_string_lossy()
        .into_owned()
}
