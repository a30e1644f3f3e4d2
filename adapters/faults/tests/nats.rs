//! Every fault of NATS, under whole nodes.

use midplane_faults::NatsBroker;

midplane_faults::faults!(NatsBroker::start());

#[test]
fn descriptor_limit() {
    midplane_faults::scenarios::access::descriptor_limit(&NatsBroker::start());
}
