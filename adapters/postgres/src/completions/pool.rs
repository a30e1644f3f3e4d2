//! The connections that producers and ledgers share.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::channel::oneshot;
use parking_lot::Mutex;

use super::connect::PostgresConnect;
use super::connection::StoreConnection;
use super::statements::{
    PostgresStatements, StatementError, StatementParameter, StatementRow, boxed,
};

/// A few connections, opened when they are needed; a caller waits while all are in use, behind those who came before.
pub(crate) struct ConnectionPool {
    connect: Arc<dyn PostgresConnect>,
    queue: Arc<Mutex<PoolQueue>>,
}

/// What is free, or who waits for it: never both.
struct PoolQueue {
    /// Connections that nobody uses, and room for one where there is `None`.
    free: Vec<Option<StoreConnection>>,
    waiting: VecDeque<oneshot::Sender<PoolSlot>>,
}

/// The right to use one connection, which goes to the next caller when it is dropped.
struct PoolSlot {
    /// `None` where one is to be opened. While a connection is out of its slot, a caller that is dropped closes it.
    connection: Option<StoreConnection>,
    queue: Arc<Mutex<PoolQueue>>,
    /// Whether the slot was given on.
    passed: bool,
}

impl PoolSlot {
    fn new(connection: Option<StoreConnection>, queue: &Arc<Mutex<PoolQueue>>) -> Self {
        Self {
            connection,
            queue: Arc::clone(queue),
            passed: false,
        }
    }
}

impl Drop for PoolSlot {
    fn drop(&mut self) {
        if self.passed {
            return;
        }
        let mut slot = Self::new(self.connection.take(), &self.queue);
        loop {
            let mut queue = self.queue.lock();
            let Some(next) = queue.waiting.pop_front() else {
                slot.passed = true;
                let connection = slot.connection.take();
                return queue.free.push(connection);
            };
            drop(queue);
            // One that gave up waiting gives the slot back.
            match next.send(slot) {
                Ok(()) => return,
                Err(refused) => slot = refused,
            }
        }
    }
}

impl ConnectionPool {
    pub(crate) fn new(connect: Arc<dyn PostgresConnect>, most: usize) -> Self {
        Self {
            connect,
            queue: Arc::new(Mutex::new(PoolQueue {
                free: (0..most.max(1)).map(|_| None).collect(),
                waiting: VecDeque::new(),
            })),
        }
    }

    /// A slot: a free one, the one that was used last before the others, or the first that is given on to this caller.
    async fn slot(&self) -> PoolSlot {
        let given = {
            let mut queue = self.queue.lock();
            if let Some(connection) = queue.free.pop() {
                return PoolSlot::new(connection, &self.queue);
            }
            let (next, given) = oneshot::channel();
            queue.waiting.push_back(next);
            given
        };
        match given.await {
            Ok(slot) => slot,
            // The pool outlives its callers, and a sender is only dropped when it has sent.
            Err(oneshot::Canceled) => PoolSlot::new(None, &self.queue),
        }
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// What a store does by itself.
#[async_trait]
impl PostgresStatements for ConnectionPool {
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        let parameters: Vec<_> = parameters.iter().map(StatementParameter::typed).collect();
        let mut slot = self.slot().await;
        let mut kept = slot.connection.take();
        let mut connection = match kept.take_if(StoreConnection::lives) {
            Some(connection) => connection,
            None => StoreConnection::open(&*self.connect)
                .await
                .map_err(StatementError::Lost)?,
        };
        let answer = connection.query(statement, &parameters).await;
        let answer = answer.map(boxed).map_err(StatementError::from);
        if !matches!(answer, Err(StatementError::Lost(_))) {
            slot.connection = Some(connection);
        }
        answer
    }
}
