//! Redis, or the Valkey that `MIDPLANE_TEST_REDIS_SERVER` names, keeps every promise of a store of
//! completions.

mod real;

use real::Real;

midplane_conformance::completion_suite!(Real::start);
