//! Nodes over NATS, which fails in every way.

use midplane_faults::OverNats;

midplane_faults::faults!(OverNats::start());
