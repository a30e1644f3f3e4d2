//! Nodes over NATS, which fails in every way.

use midplane_faults::NatsBroker;

midplane_faults::faults!(NatsBroker::start());

#[test]
fn descriptor_limit() {
    midplane_faults::scenarios::access::descriptor_limit(&NatsBroker::start());
}
