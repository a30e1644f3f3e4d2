//! Completions in Postgres: every promise, and what Postgres alone can do wrong.

mod commit;
mod failover;
mod faults;
mod groups;
mod handed_in;
mod interface;
mod own;
mod peculiar;
mod plans;
mod pools;
mod sql;
mod test_store;
mod trouble;
mod upgrade;
mod waking;
mod work;

use test_store::TestStore;

midplane_completions_suite::completion_suite!(TestStore::start);
