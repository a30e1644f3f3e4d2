//! Completions in Postgres: every promise, and what Postgres alone can do wrong.

mod faults;
mod peculiar;
mod place;
mod sql;
mod waking;
mod work;

use place::Place;

midplane_completions_suite::completion_suite!(Place::start);
