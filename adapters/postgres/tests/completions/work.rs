//! Steps that several tests of the store take.

use std::time::Duration;

use midplane_completions::{CompletionStream, Outcome, Pace};
use midplane_completions_suite::Transaction;
use midplane_completions_suite::script::{self, execution};
use midplane_testkit::succeeds;

use crate::sql::OpenTransaction;
use crate::test_store::{TestStore, prompt};

pub(crate) async fn finish_in(begun: &mut OpenTransaction, id: &str) {
    let id = execution(id);
    let finished = begun.finish(&id, &Outcome::Success, None);
    succeeds("finishing", finished).await;
}

/// A pace that never polls: every read was woken.
pub(crate) fn asleep() -> Pace {
    let mut pace = prompt();
    pace.poll = Duration::from_secs(3_600);
    pace
}

pub(crate) async fn subscribe(test: &TestStore, pace: Pace) -> CompletionStream {
    let backend = test.listeners("listener").backend().with_pace(pace);
    script::subscribe(&backend).await
}

pub(crate) fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix} {number}"))
        .collect()
}
