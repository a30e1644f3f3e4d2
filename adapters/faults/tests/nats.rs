//! Every fault of NATS, under whole nodes.

use midplane_faults::NatsBroker;

midplane_faults::faults!(NatsBroker::start());
midplane_faults::faults!(NatsBroker::start(), access::descriptor_limit);
