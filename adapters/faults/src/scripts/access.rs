//! The server does not let the nodes in.

use std::time::Duration;

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
    broker.make_room();
    theatre.healed();
    theatre.finish();
}
