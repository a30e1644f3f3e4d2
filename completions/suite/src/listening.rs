//! A listener on the store, in a trial.

use std::sync::Arc;

use crate::fixture::Fixture;
use crate::trial::{SilentBackend, trial, trial_on};

/// How many executions a trial starts.
const EXECUTIONS: usize = 200;

/// "Every committed completion is handled", with the stream working.
pub(crate) async fn a_listener_handles_everything(fixture: Arc<dyn Fixture>) {
    let report = trial(&fixture, EXECUTIONS, async |_| {}).await;
    assert_eq!(report.repeated, 0, "nothing went wrong: {report:?}");
    assert!(report.counters.streamed > 0, "{report:?}");
}

/// "Every committed completion is handled", with a stream that is cut again and again.
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
    let report = trial_on(Arc::new(SilentBackend), &fixture, EXECUTIONS, async |_| {}).await;
    assert_eq!(report.counters.streamed, 0);
    assert_eq!(report.repeated, 0, "nothing went wrong: {report:?}");
}
