//! Nodes over Postgres, which fails in every way.

use midplane_faults::PostgresBroker;

midplane_faults::faults!(PostgresBroker::start());
