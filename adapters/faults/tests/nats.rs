//! Nodes over NATS, which fails in every way.

use midplane_faults::OverNats;

midplane_faults::faults!(OverNats::start());

#[test]
fn descriptor_limit() {
    midplane_faults::scripts::access::descriptor_limit(&OverNats::start());
}
