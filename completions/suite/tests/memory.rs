//! The store of completions inside one process keeps every promise.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use midplane::Backoff;
use midplane::completions::{
    CompletionBackend, ExecutionId, Groups, Ledger, MemoryStore, MemoryTransaction, Outcome, Pace,
    ProduceError, Producer,
};
use midplane_completions_suite::{Fixture, Transaction};

struct InProcess(MemoryStore);

impl InProcess {
    fn start() -> Self {
        Self(MemoryStore::new(Arc::new(midplane::threads::Timer::new())))
    }
}

#[async_trait]
impl Fixture for InProcess {
    fn backend(&self) -> Arc<dyn CompletionBackend> {
        let mut pace = Pace::default();
        pace.poll = Duration::from_millis(100);
        pace.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        Arc::new(self.0.backend().with_pace(pace))
    }

    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(self.0.clone())
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.0.clone())
    }

    fn groups(&self) -> Option<Arc<dyn Groups>> {
        Some(Arc::new(self.0.clone()))
    }

    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        Some(Box::new(Begun(self.0.begin())))
    }

    fn cut(&self) {
        self.0.block();
    }

    fn heal(&self) {
        self.0.unblock();
    }

    fn connections(&self) -> usize {
        self.0.connections()
    }

    async fn expire_history(&self) {
        self.0.trim();
    }

    async fn prune(&self, age: Duration) {
        self.0.prune(age);
    }

    async fn poison(&self) {
        self.0.poison("it was made so");
    }
}

struct Begun(MemoryTransaction);

#[async_trait]
impl Transaction for Begun {
    async fn finish(
        &mut self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<(), ProduceError> {
        self.0.finish(execution, outcome, bytes)
    }

    async fn commit(self: Box<Self>) -> Result<(), ProduceError> {
        self.0.commit()
    }

    async fn rollback(self: Box<Self>) {}
}

midplane_completions_suite::completion_suite!(InProcess::start);

/// A check that no mutant fails proves nothing.
#[test]
fn every_check_is_the_test_of_a_mutant() {
    let suite = include_str!("../../../adapters/conformance/mutants/table/completion-suite.toml");
    let stores = include_str!("../../../adapters/conformance/mutants/table/stores.toml");
    let unproven: Vec<_> = midplane_completions_suite::CHECKS
        .iter()
        .map(|check| check.name)
        .filter(|name| {
            ![suite, stores]
                .iter()
                .any(|table| table.contains(&format!("::{name}\"")))
        })
        .collect();
    assert!(unproven.is_empty(), "no mutant fails {unproven:?}");
}
