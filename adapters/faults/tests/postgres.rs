//! Every fault of Postgres, under whole nodes.

use midplane_faults::PostgresBroker;

midplane_faults::faults!(PostgresBroker::start());
