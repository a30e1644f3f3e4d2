//! The server does not let the nodes in.

use std::time::Duration;

use midplane::State;
use midplane_conformance::history::RecordedNode;
use midplane_testkit::wait::block_until;

use crate::{AccessFault, Broker, Harness, Route};

/// How long nodes are kept out: several connect attempts.
const LENGTH: Duration = Duration::from_secs(2);

/// The password changes under the nodes, and changes back.
pub fn credentials_break_and_heal(broker: &dyn Broker) {
    refused(broker, AccessFault::Password);
}

/// The nodes lose the permission to subscribe, and get it back.
pub fn permission_removed_and_given_back(broker: &dyn Broker) {
    refused(broker, AccessFault::Permission);
}

fn refused(broker: &dyn Broker, fault: AccessFault) {
    let harness = Harness::start(broker, Route::Direct);
    let inject = || {
        broker.refuse(fault);
        harness.wait_none_live();
    };
    let heal = || {
        harness.assert_few_attempts(LENGTH);
        broker.admit(fault);
    };
    harness.outage(LENGTH, inject, heal);
    harness.finish();
}

/// Fewer connections are allowed than the nodes need.
pub fn connection_limit(broker: &dyn Broker) {
    let harness = Harness::start(broker, Route::Direct);
    harness.fault_begins();
    broker.refuse(AccessFault::ConnectionLimit);
    harness.pass(LENGTH);
    harness.assert_few_attempts(LENGTH);
    broker.admit(AccessFault::ConnectionLimit);
    harness.fault_ends();
    harness.finish();
}

/// The server may open fewer descriptors than the nodes need: the others wait in its backlog, or are refused. A
/// Postgres has a process with descriptors of its own for each connection, so this is not one of its faults.
pub fn descriptor_limit(broker: &dyn Broker) {
    let server = broker.server();
    let before = server.descriptors();
    let harness = Harness::start(broker, Route::Proxied);
    harness.fault_begins();
    harness.proxy().refuse();
    // A server may keep open what it opened for its first client.
    block_until("nobody is connected", || server.descriptors() <= before + 2);
    harness.wait_none_live();
    server.spare_descriptors(Some(3));
    harness.proxy().accept();
    harness.pass(LENGTH);
    let live = |node: &RecordedNode| node.plane().state() == State::Live;
    assert!(!harness.nodes().all(live), "there is room for all");
    harness.assert_few_attempts(LENGTH);
    server.spare_descriptors(None);
    harness.fault_ends();
    harness.finish();
}
