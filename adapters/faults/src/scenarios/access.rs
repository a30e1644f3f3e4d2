//! The server does not let the nodes in.

use std::time::Duration;

use midplane::State;
use midplane_conformance::history::RecordedNode;

use crate::{Broker, Harness, Way};

/// For how long nodes are not let in: several attempts.
const LENGTH: Duration = Duration::from_secs(2);

/// The password changes under the nodes, and changes back.
pub fn credentials_break_and_heal(broker: &dyn Broker) {
    refused(
        broker,
        |broker| broker.break_credentials(),
        |broker| broker.restore_credentials(),
    );
}

/// The nodes may not hear their channels, and then may again.
pub fn permission_removed_and_given_back(broker: &dyn Broker) {
    refused(
        broker,
        |broker| broker.revoke_permission(),
        |broker| broker.restore_permission(),
    );
}

fn refused(broker: &dyn Broker, refuse: fn(&dyn Broker), accept: fn(&dyn Broker)) {
    let harness = Harness::open(broker, Way::Direct);
    harness.fault_begins();
    refuse(broker);
    harness.none_live();
    // Whoever is not live now stays so.
    harness.nobody_may_be_live();
    harness.pass(LENGTH);
    harness.attempts_are_few(LENGTH);
    harness.everybody_may_be_live();
    accept(broker);
    harness.fault_ends();
    harness.finish();
}

/// So few may connect that not all nodes can.
pub fn connection_limit(broker: &dyn Broker) {
    let harness = Harness::open(broker, Way::Direct);
    harness.fault_begins();
    broker.limit_connections();
    harness.pass(LENGTH);
    harness.attempts_are_few(LENGTH);
    broker.lift_connection_limit();
    harness.fault_ends();
    harness.finish();
}

/// The server may open so few descriptors that not all nodes come in: who comes in vain waits in its backlog, or is
/// refused. A Postgres has for each connection a process, with descriptors of its own, so this is none of its faults.
pub fn descriptor_limit(broker: &dyn Broker) {
    let server = broker.server();
    let before = server.descriptors();
    let harness = Harness::open(broker, Way::Proxied);
    harness.fault_begins();
    harness.proxy().refuse();
    // It may have opened something that stays open, for the first of them.
    harness.wait("nobody is connected", || server.descriptors() <= before + 2);
    harness.none_live();
    server.spare_descriptors(Some(3));
    harness.proxy().accept();
    harness.pass(LENGTH);
    let live = |node: &RecordedNode| node.plane().state() == State::Live;
    assert!(!harness.nodes().all(live), "there is room for all");
    harness.attempts_are_few(LENGTH);
    server.spare_descriptors(None);
    harness.fault_ends();
    harness.finish();
}
