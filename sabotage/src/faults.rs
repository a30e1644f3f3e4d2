//! The sins that whole nodes over real servers show.

use crate::sins::Sin;

const FAULTS: &str = "midplane-faults";
const REDIS: &[&str] = &["--test", "redis"];

pub(crate) const SINS: &[Sin] = &[
    Sin {
        name: "faults: who lost a server comes back with everybody else",
        file: "core/src/backoff.rs",
        sound: "Duration::from_nanos(random.below(nanos.saturating_add(1)))",
        broken: "let _ = random.below(nanos.saturating_add(1));\n        Duration::from_nanos(nanos)",
        package: FAULTS,
        suite: REDIS,
        test: "twenty_nodes_reconnect_at_once",
    },
    Sin {
        name: "faults: who is refused knocks again at once",
        file: "core/src/backoff.rs",
        sound: ".min(self.most);",
        broken: ".min(Duration::from_nanos(1));",
        package: FAULTS,
        suite: REDIS,
        test: "credentials_break_and_heal",
    },
    Sin {
        name: "faults: what was sent counts as waiting for ever",
        file: "core/src/cluster/outgoing.rs",
        sound: "bytes: held.bytes + core::mem::take(&mut state.bytes),",
        broken: "bytes: held.bytes + state.bytes,",
        package: FAULTS,
        suite: REDIS,
        test: "latency",
    },
];
