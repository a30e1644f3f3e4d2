//! What a listener makes of the store.

use std::sync::Arc;

use super::Fixture;
use super::trial::{NoStream, trial, trial_on};

/// How many executions a trial has.
const EXECUTIONS: usize = 200;

/// "Every committed completion is handled", with the stream working.
pub(crate) async fn a_listener_handles_everything(fixture: Arc<dyn Fixture>) {
    let outcomes = trial(&fixture, EXECUTIONS, async |_| {}).await;
    assert_eq!(outcomes.repeated, 0, "nothing went wrong: {outcomes:?}");
    assert!(outcomes.counters.streamed > 0, "{outcomes:?}");
}

/// The same, with a stream that is cut again and again.
pub(crate) async fn a_listener_that_is_cut_off_handles_everything(fixture: Arc<dyn Fixture>) {
    let faulty = Arc::clone(&fixture);
    trial(&fixture, EXECUTIONS, async move |oracle| {
        for part in 1..=4 {
            oracle.reaches(part * EXECUTIONS / 10).await;
            faulty.cut();
            oracle.reaches(part * EXECUTIONS / 10 + 10).await;
            faulty.heal();
        }
    })
    .await;
}

/// "With the stream killed, the reconciler alone converges."
pub(crate) async fn a_listener_without_a_stream_handles_everything(fixture: Arc<dyn Fixture>) {
    let outcomes = trial_on(Arc::new(NoStream), &fixture, EXECUTIONS, async |_| {}).await;
    assert_eq!(outcomes.counters.streamed, 0);
    assert_eq!(outcomes.repeated, 0, "nothing went wrong: {outcomes:?}");
}
