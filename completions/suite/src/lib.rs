//! The promises of a store of completions, as named checks that a store loads in one line.
//!
//! The contract is in the documentation of [`midplane::completions`]; each check quotes the part that it
//! holds a store to. A store implements [`Fixture`], and [`completion_suite!`] makes one test of each check
//! on each executor: `completion_suite!(PostgresFixture::start)`.
//!
//! # Guarantees
//!
//! Each check fails on a broken store: the table of mutants has an edit for each. No check sleeps to let
//! something happen; each waits for what it expects, for [`patience`](midplane_testkit::patience) at most.
//!
//! # Map
//!
//! [`CHECKS`] are the checks and [`Fixture`] what they need. [`script`] is their vocabulary, which the tests
//! of a single store use too. A [`trial`] runs a listener and producers while something fails, and [`faults`]
//! are the trials that every store on a server of its own passes. [`load`] has subscriptions begin while others commit.

mod arrival;
mod atomic;
mod backlog;
mod connection;
mod cursor;
pub mod faults;
mod filter;
mod fixture;
mod grouped;
mod groups;
mod ledger;
mod ledger_script;
mod listening;
pub mod load;
mod nodes;
mod producer;
pub mod script;
mod size;
mod trial;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
pub use midplane_testkit::executor::Executor;

pub use fixture::{Fixture, Transaction};
pub use trial::{SilentBackend, TrialOracle, TrialReport, trial, trial_on};

/// One promise of a store, and the check of it.
#[derive(Clone, Copy)]
pub struct Check {
    /// The name of the promise.
    pub name: &'static str,
    /// Panics unless the store keeps it.
    pub run: fn(Arc<dyn Fixture>) -> BoxFuture<'static, ()>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// Calls a macro of this crate with every check, as `module::name`, behind the arguments given. For
/// [`completion_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! with_completion_checks {
    ($target:ident, $($before:tt)*) => {
        $crate::$target! { $($before)*
            arrival::a_subscription_is_live_when_the_call_returns,
            arrival::every_outcome_arrives_as_it_was_produced,
            arrival::completions_of_one_producer_keep_their_order,
            arrival::an_unread_stream_misses_nothing,
            arrival::each_subscription_is_independent,
            arrival::a_poison_record_is_surfaced_and_passed,
            atomic::what_is_rolled_back_is_never_seen,
            atomic::what_commits_late_is_not_skipped,
            atomic::equal_payloads_of_one_transaction_both_arrive,
            backlog::a_backlog_is_drained_by_looks_that_follow_each_other,
            connection::a_stream_outlives_a_cut,
            connection::a_stream_says_why_it_does_not_work,
            connection::a_cut_before_anything_arrived_loses_nothing,
            connection::a_wrong_set_up_is_the_errors_of_the_call,
            connection::dropping_an_idle_stream_releases_its_connection,
            connection::dropping_a_stream_that_is_cut_off_leaves_nothing,
            cursor::resuming_yields_strictly_later_completions,
            cursor::resuming_passes_what_the_filter_leaves_out,
            cursor::a_foreign_cursor_is_refused,
            cursor::a_malformed_cursor_is_refused,
            cursor::an_expired_cursor_is_refused,
            cursor::a_stream_whose_place_expired_says_so_and_goes_on,
            filter::a_filter_is_exact_or_refused,
            groups::a_group_is_a_ledger_like_any_other,
            groups::each_group_handles_everything_once_and_in_order,
            groups::what_one_group_does_is_unknown_to_another,
            groups::a_group_begins_with_what_is_kept,
            groups::a_group_begins_now,
            groups::a_group_that_was_away_catches_up,
            groups::what_a_group_has_not_handled_is_kept,
            groups::what_a_group_keeps_no_longer_is_given_up,
            groups::a_removed_group_holds_nothing,
            groups::the_group_without_a_name_is_removed_for_good,
            groups::registering_again_keeps_the_place,
            groups::groups_say_how_far_they_are,
            ledger::what_finished_is_scanned_until_it_is_handled,
            ledger::pages_show_everything_once,
            ledger::a_claim_excludes_every_other,
            ledger::a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void,
            ledger::a_lease_that_is_renewed_holds,
            ledger::released_work_waits_and_comes_back,
            ledger::a_flow_is_taken_by_one_and_from_its_beginning,
            ledger::no_namespace_waits_for_another,
            ledger::a_dead_letter_is_kept_and_can_be_replayed,
            ledger::a_dead_letter_says_what_its_last_attempt_failed_with,
            listening::a_listener_handles_everything,
            listening::a_listener_that_is_cut_off_handles_everything,
            listening::a_listener_without_a_stream_handles_everything,
            load::a_subscription_under_load_starts_exactly,
            nodes::flows_keep_their_order_while_nodes_are_killed,
            nodes::flows_of_two_groups_keep_their_order_while_nodes_are_killed,
            producer::a_finish_can_be_repeated_for_the_age_that_is_kept,
            producer::a_repeated_finish_never_completes_twice,
            producer::every_call_may_be_repeated,
            producer::an_illegal_transition_is_refused_and_changes_nothing
        }
    };
}

/// Runs the check of this name on this executor. [`completion_suite!`](crate::completion_suite) calls it.
///
/// # Panics
/// When the check fails, or there is none of that name.
pub fn run<F: Fixture>(name: &str, executor: Executor, start: impl FnOnce() -> F) {
    let check = CHECKS
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("there is no check called {name}"));
    executor.run((check.run)(Arc::new(start())));
}

/// Makes one test of each check on each executor, out of an expression that is called for a
/// [`Fixture`]: `completion_suite!(PostgresFixture::start)`.
///
/// The tests are in modules called after the executors, inside one called `completions`.
#[macro_export]
macro_rules! completion_suite {
    ($start:expr) => {
        mod completions {
            #[allow(
                unused_imports,
                reason = "the expression may name nothing around it"
            )]
            use super::*;

            $crate::completion_suite!(@on smol, Smol, $start);
            $crate::completion_suite!(@on tokio_current, TokioCurrent, $start);
            $crate::completion_suite!(@on tokio_multi, TokioMulti, $start);
            $crate::completion_suite!(@on threads, Threads, $start);
        }
    };
    (@on $module:ident, $executor:ident, $start:expr) => {
        $crate::with_completion_checks!(completion_suite, @each $module, $executor, $start,);
    };
    (@each $module:ident, $executor:ident, $start:expr, $($area:ident::$check:ident),+) => {
        mod $module {
            #[allow(
                unused_imports,
                reason = "the expression may name nothing around it"
            )]
            use super::*;

            $(#[test]
            fn $check() {
                $crate::run(
                    stringify!($check),
                    $crate::Executor::$executor,
                    $start,
                );
            })+
        }
    };
    (@table $($area:ident::$check:ident),+) => {
        /// Every check of a store.
        pub const CHECKS: &[Check] = &[$(Check {
            name: stringify!($check),
            run: |fixture| Box::pin($area::$check(fixture)),
        }),+];
    };
}

with_completion_checks!(completion_suite, @table);
