//! The server does not let the nodes in.

use std::time::Duration;

use midplane::State;
use midplane_conformance::history::Witness;

use crate::{Broker, Theatre, Way};

/// For how long nodes are not let in: several attempts.
const LENGTH: Duration = Duration::from_secs(2);

/// The password changes under the nodes, and changes back.
pub fn credentials_break_and_heal(broker: &dyn Broker) {
    refused(broker, |broker| broker.lock_out(), |broker| broker.let_in());
}

/// The nodes may not hear their channels, and then may again.
pub fn permission_removed_and_given_back(broker: &dyn Broker) {
    refused(broker, |broker| broker.forbid(), |broker| broker.permit());
}

fn refused(broker: &dyn Broker, refuse: fn(&dyn Broker), accept: fn(&dyn Broker)) {
    let theatre = Theatre::open(broker, Way::Direct);
    theatre.broken();
    refuse(broker);
    theatre.none_live();
    // Whoever is not live now stays so.
    theatre.cut();
    theatre.pass(LENGTH);
    theatre.knocks_are_few(LENGTH);
    theatre.mended();
    accept(broker);
    theatre.healed();
    theatre.finish();
}

/// So few may connect that not all nodes can.
pub fn connection_limit(broker: &dyn Broker) {
    let theatre = Theatre::open(broker, Way::Direct);
    theatre.broken();
    broker.crowd_out();
    theatre.pass(LENGTH);
    theatre.knocks_are_few(LENGTH);
    broker.make_room();
    theatre.healed();
    theatre.finish();
}

/// The server may open so few descriptors that not all nodes come in: who comes in vain waits in its backlog, or is
/// refused. A Postgres has for each connection a process, with descriptors of its own, so this is none of its faults.
pub fn descriptor_limit(broker: &dyn Broker) {
    let server = broker.server();
    let before = server.descriptors();
    let theatre = Theatre::open(broker, Way::Proxied);
    theatre.broken();
    theatre.proxy().refuse();
    // It may have opened something that stays open, for the first of them.
    theatre.wait("nobody is connected", || server.descriptors() <= before + 2);
    theatre.none_live();
    server.spare_descriptors(Some(3));
    theatre.proxy().accept();
    theatre.pass(LENGTH);
    let live = |node: &Witness| node.plane().state() == State::Live;
    assert!(!theatre.nodes().all(live), "there is room for all");
    theatre.knocks_are_few(LENGTH);
    server.spare_descriptors(None);
    theatre.healed();
    theatre.finish();
}
