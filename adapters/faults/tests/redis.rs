//! Every fault of Redis, under whole nodes.

use std::time::Duration;

use midplane_faults::{Harness, RedisBroker, Route};

midplane_faults::faults!(RedisBroker::start());
midplane_faults::faults!(RedisBroker::start(), access::descriptor_limit);

/// The subscribers of a master that becomes a replica stay connected and receive nothing, and its publishers are
/// refused.
#[test]
fn master_demoted() {
    let broker = RedisBroker::start();
    let harness = Harness::start(&broker, Route::Direct);
    let outage = Duration::from_secs(3);
    harness.outage(outage, || broker.demote(), || broker.promote());
    harness.finish();
}
