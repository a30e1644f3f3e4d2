//! Nodes over Postgres, which fails in every way.

use midplane_faults::OverPostgres;

midplane_faults::faults!(OverPostgres::start());
