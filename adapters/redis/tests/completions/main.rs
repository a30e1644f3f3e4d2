//! Redis and Valkey keep every promise of a store of completions. `MIDPLANE_TEST_REDIS_SERVER` may name
//! another program for the first.

mod faults;
mod peculiar;
mod places;
mod real;

use real::Real;

midplane_completions_suite::completion_suite!(Real::start);

mod valkey {
    use super::Real;

    midplane_completions_suite::completion_suite!(Real::valkey);
}
