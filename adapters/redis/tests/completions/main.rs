//! Redis and Valkey keep every promise of a store of completions. `MIDPLANE_TEST_REDIS_SERVER` may name
//! another program for the first.

mod faults;
mod groups;
mod groups_model;
mod handed_in;
mod memory;
mod peculiar;
mod places;
mod test_store;
mod trouble;
mod upgrade;

use test_store::TestStore;

midplane_completions_suite::completion_suite!(TestStore::start);

mod valkey {
    use super::TestStore;

    midplane_completions_suite::completion_suite!(TestStore::valkey);
}
