//! What every store of completions promises, as named checks.
//!
//! The contract is in the documentation of [`midplane::completions`]; each check quotes the part that it
//! holds a store to. [`completion_suite!`](crate::completion_suite) makes one test of each check on each
//! executor.

mod arrival;
mod atomic;
mod connection;
mod cursor;
mod filter;
mod ledger;
mod listener;
mod listening;
mod producer;
mod trial;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use midplane::completions::{
    CompletionBackend, ExecutionId, Ledger, Outcome, ProduceError, Producer,
};

pub use midplane_testkit::executor::Executor;
pub use trial::{NoStream, Oracle, Outcomes, trial, trial_on};

/// How the checks get at a store of completions.
///
/// Each test starts one of its own, which is empty, and whose listeners, producers and ledger are on the
/// same data. The methods that are not `async` may block.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// What subscribes. Its connections are those that [`cut`](Self::cut) cuts and
    /// [`connections`](Self::connections) counts. It should look for itself, and try again, a few times a
    /// second, so that what depends on that does not take long.
    fn backend(&self) -> Arc<dyn CompletionBackend>;

    /// What starts and finishes executions, whether or not the listeners are cut off.
    fn producer(&self) -> Arc<dyn Producer>;

    /// What knows what was handled, whether or not the listeners are cut off.
    fn ledger(&self) -> Arc<dyn Ledger>;

    /// Begins a transaction of the store, once it answers if it does not; `None` where the store has none.
    async fn begin(&self) -> Option<Box<dyn Transaction>>;

    /// Ends every connection of a listener, and lets none connect until [`heal`](Self::heal).
    fn cut(&self);

    /// Undoes a [`cut`](Self::cut). Once it returns, connecting works.
    fn heal(&self);

    /// How many connections of listeners are open.
    fn connections(&self) -> usize;

    /// Drops all history there is, as retention does after a long time: cursors from before the last
    /// completion are expired from now on.
    async fn expire_history(&self);

    /// Puts a record into the history that is no completion.
    async fn poison(&self);

    /// A backend with wrong credentials for the same store, and what must be in no message of it. `None`
    /// where a store knows no credentials.
    fn intruder(&self) -> Option<(Arc<dyn CompletionBackend>, Vec<String>)> {
        None
    }

    /// A backend on a server where the tables or functions of completions were never installed. `None`
    /// where nothing has to be installed.
    fn bare(&self) -> Option<Arc<dyn CompletionBackend>> {
        None
    }
}

/// Executions that finish together or not at all. Dropping it rolls back, sooner or later.
#[async_trait]
pub trait Transaction: Send {
    /// Finishes an execution inside the transaction.
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError>;

    /// Makes it so.
    async fn commit(self: Box<Self>) -> Result<(), ProduceError>;

    /// Undoes everything, and resolves when that is done, or the store is gone and it is done by that.
    async fn rollback(self: Box<Self>);
}

/// One promise, and what tells whether a store keeps it.
#[derive(Clone, Copy)]
pub struct Check {
    /// What the promise is called.
    pub name: &'static str,
    /// Panics unless the store keeps it.
    pub run: fn(Arc<dyn Fixture>) -> BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

macro_rules! checks {
    ($($module:ident::$name:ident),+ $(,)?) => {
        /// Every check there is.
        pub const CHECKS: &[Check] = &[$(Check {
            name: stringify!($name),
            run: |fixture| Box::pin($module::$name(fixture)),
        }),+];
    };
}

checks! {
    arrival::a_subscription_is_live_when_the_call_returns,
    arrival::every_outcome_arrives_as_it_was_produced,
    arrival::completions_of_one_producer_keep_their_order,
    arrival::an_unread_stream_misses_nothing,
    arrival::each_subscription_is_independent,
    arrival::a_poison_record_is_surfaced_and_passed,
    atomic::what_is_rolled_back_is_never_seen,
    atomic::what_commits_late_is_not_skipped,
    atomic::equal_payloads_of_one_transaction_both_arrive,
    connection::a_stream_outlives_a_cut,
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
    ledger::what_finished_is_scanned_until_it_is_handled,
    ledger::what_finished_just_now_is_not_stale,
    ledger::pages_show_everything_once,
    ledger::a_claim_excludes_every_other,
    ledger::a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void,
    ledger::released_work_waits_and_comes_back,
    listening::a_listener_handles_everything,
    listening::a_listener_that_is_cut_off_handles_everything,
    listening::a_listener_without_a_stream_handles_everything,
    producer::every_call_may_be_repeated,
    producer::an_illegal_transition_is_refused_and_changes_nothing,
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

/// Makes one test of each check on each executor, out of an expression that is called to get a
/// [`Fixture`](Fixture): `completion_suite!(PostgresFixture::start)`.
///
/// The tests are in modules called after the executors, inside one called `completions`.
#[macro_export]
macro_rules! completion_suite {
    ($start:expr) => {
        mod completions {
            #[allow(
                unused_imports,
                reason = "whether the expression names anything around it is its own affair"
            )]
            use super::*;

            $crate::completion_suite!(@on smol, Smol, $start);
            $crate::completion_suite!(@on tokio_current, TokioCurrent, $start);
            $crate::completion_suite!(@on tokio_multi, TokioMulti, $start);
            $crate::completion_suite!(@on threads, Threads, $start);
        }
    };
    (@on $module:ident, $executor:ident, $start:expr) => {
        $crate::completion_suite!(@each $module, $executor, $start,
            a_subscription_is_live_when_the_call_returns
            every_outcome_arrives_as_it_was_produced
            completions_of_one_producer_keep_their_order
            an_unread_stream_misses_nothing
            each_subscription_is_independent
            a_poison_record_is_surfaced_and_passed
            what_is_rolled_back_is_never_seen
            what_commits_late_is_not_skipped
            equal_payloads_of_one_transaction_both_arrive
            a_stream_outlives_a_cut
            a_cut_before_anything_arrived_loses_nothing
            a_wrong_set_up_is_the_errors_of_the_call
            dropping_an_idle_stream_releases_its_connection
            dropping_a_stream_that_is_cut_off_leaves_nothing
            resuming_yields_strictly_later_completions
            resuming_passes_what_the_filter_leaves_out
            a_foreign_cursor_is_refused
            a_malformed_cursor_is_refused
            an_expired_cursor_is_refused
            a_stream_whose_place_expired_says_so_and_goes_on
            a_filter_is_exact_or_refused
            what_finished_is_scanned_until_it_is_handled
            what_finished_just_now_is_not_stale
            pages_show_everything_once
            a_claim_excludes_every_other
            a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void
            released_work_waits_and_comes_back
            a_listener_handles_everything
            a_listener_that_is_cut_off_handles_everything
            a_listener_without_a_stream_handles_everything
            every_call_may_be_repeated
            an_illegal_transition_is_refused_and_changes_nothing
        );
    };
    (@each $module:ident, $executor:ident, $start:expr, $($check:ident)+) => {
        mod $module {
            #[allow(
                unused_imports,
                reason = "whether the expression names anything around it is its own affair"
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

            #[test]
            fn every_check_is_run() {
                let run: &[&str] = &[$(stringify!($check)),+];
                let all: Vec<_> = $crate::CHECKS
                    .iter()
                    .map(|check| check.name)
                    .collect();
                assert_eq!(run, all);
            }
        }
    };
}
