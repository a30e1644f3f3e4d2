//! A store whose ledger is that of one of its groups.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use midplane::completions::{CompletionBackend, Groups, Ledger, Producer};

use crate::fixture::{Fixture, Transaction};

/// The store of another fixture, with the ledger of a group.
pub(crate) struct Grouped {
    pub(crate) fixture: Arc<dyn Fixture>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

#[async_trait]
impl Fixture for Grouped {
    fn backend(&self) -> Arc<dyn CompletionBackend> {
        self.fixture.backend()
    }

    fn producer(&self) -> Arc<dyn Producer> {
        self.fixture.producer()
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger)
    }

    fn groups(&self) -> Option<Arc<dyn Groups>> {
        self.fixture.groups()
    }

    async fn begin(&self) -> Option<Box<dyn Transaction>> {
        self.fixture.begin().await
    }

    fn cut(&self) {
        self.fixture.cut();
    }

    fn heal(&self) {
        self.fixture.heal();
    }

    fn connections(&self) -> usize {
        self.fixture.connections()
    }

    async fn expire_history(&self) {
        self.fixture.expire_history().await;
    }

    async fn prune(&self, age: Duration) {
        self.fixture.prune(age).await;
    }

    async fn poison(&self) {
        self.fixture.poison().await;
    }
}
