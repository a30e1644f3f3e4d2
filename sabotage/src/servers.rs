//! The sins against servers that meet on a bus.

use crate::sins::Sin;

const SERVERS: &str = "server-suite";
const CLUSTER: &[&str] = &["--test", "cluster"];

pub(crate) const SINS: &[Sin] = &[
    Sin {
        name: "servers: who cannot accept tries again at once",
        file: "examples/server/src/serve.rs",
        sound: "app.runtime.timer.sleep(ACCEPT_PAUSE).await;",
        broken: "let _ = ACCEPT_PAUSE;",
        package: SERVERS,
        suite: CLUSTER,
        test: "the_oracle_judges_servers::on_redis",
    },
    Sin {
        name: "servers: a node that may be deaf is ready",
        file: "examples/server/src/health.rs",
        sound: "State::Live => (\"ready\", None),",
        broken: "State::Live | State::Degraded => (\"ready\", None),",
        package: SERVERS,
        suite: CLUSTER,
        test: "a_permission_that_is_removed",
    },
    Sin {
        name: "servers: a stranger's event passes for a message of the server",
        file: "examples/server/src/backplane.rs",
        sound: "Some(text) if is_reserved(text) =>",
        broken: "Some(text) if is_reserved(text) && text.is_empty() =>",
        package: SERVERS,
        suite: CLUSTER,
        test: "any_program_publishes::on_redis",
    },
    Sin {
        name: "promise 10: what was not relayed is not said",
        file: "examples/server/src/serve.rs",
        sound: "Some(events) => Err(RunError::Unsent { events }),",
        broken: "Some(_) => Ok(()),",
        package: SERVERS,
        suite: CLUSTER,
        test: "a_stop_without_a_broker",
    },
    Sin {
        name: "cluster: a stranger's message may be of any size",
        file: "core/src/cluster/foreign.rs",
        sound: "if bytes > limit {",
        broken: "if bytes > limit && stalled {",
        package: "midplane",
        suite: &["--all-features", "--test", "foreign"],
        test: "json_reaches_every_node_that_listens_and_harms_none",
    },
    Sin {
        name: "lanes: a node hears all of them",
        file: "core/src/cluster/lanes.rs",
        sound: "self.state(lane).targets.load(Ordering::SeqCst) > 0",
        broken: "self.state(lane).targets.load(Ordering::SeqCst) >= 0",
        package: "midplane-connect",
        suite: &["--test", "routing"],
        test: "in_memory",
    },
];
