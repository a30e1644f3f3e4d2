//! A handler that commits its effect and the record of it in one transaction of its own.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use midplane_completions::{
    Attempt, Completion, Handled, Handler, Ledger, Scan, Settled, Take, Verdict,
};
use midplane_completions_suite::script::run;
use midplane_core::Backoff;
use midplane_testkit::{eventually, succeeds};

use crate::sql::Sql;
use crate::test_store::{TestStore, prompt};

/// Writes a receipt of each execution, and fails once before it commits, and once behind that.
struct Receipts {
    sql: Sql,
    record: String,
    calls: AtomicUsize,
}

#[async_trait]
impl Handler for Receipts {
    async fn handle(
        &self,
        completion: &Completion,
        attempt: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        let (job, token) = (&completion.execution, attempt.claim.token);
        let transaction = self.record.replace("$1", &format!("'{job}'"));
        let transaction = transaction.replace("$2", &token.to_string());
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 => {
                self.sql.ask(&format!("{transaction} ROLLBACK")).await?;
                Err("it was undone".into())
            }
            1 => {
                self.sql.ask(&format!("{transaction} COMMIT")).await?;
                Err("the answer was lost".into())
            }
            _ => {
                self.sql.ask(&format!("{transaction} COMMIT")).await?;
                Ok(Handled::Recorded)
            }
        }
    }
}

#[test]
fn an_effect_and_its_record_are_committed_together() {
    smol::block_on(async {
        let test = TestStore::start();
        test.sql("CREATE TABLE midplane.receipts (job text NOT NULL)")
            .await;
        let record = "BEGIN; INSERT INTO midplane.receipts VALUES ($1); \
                      SELECT midplane.handled($1, $2);";
        let handler = Arc::new(Receipts {
            sql: test.open().await,
            record: test.in_schema(record),
            calls: AtomicUsize::new(0),
        });
        let store = test.store();
        for id in ["a", "b", "c"] {
            run(&store, id).await;
        }
        let backend = Arc::new(store.backend().with_pace(prompt()));
        let timer = Arc::new(midplane::threads::Timer::new());
        let ledger = Arc::new(store.clone());
        let listener = midplane::completions::Listener::new(backend, ledger, handler, timer);
        let mut settings = midplane::completions::ListenerSettings::default();
        settings.concurrency = 1;
        settings.backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(50));
        let (handle, running) = listener.with_settings(settings).start();
        let script = async {
            eventually("all is handled", || handle.counters().done == 2).await;
        };
        let Either::Right(_) = select(running, Box::pin(script)).await else {
            panic!("the listener ended");
        };
        // The second was recorded though its answer was lost, and is not done again.
        let receipts = "SELECT string_agg(job, ',' ORDER BY job) FROM midplane.receipts";
        assert_eq!(test.sql(receipts).await.as_deref(), Some("a,b,c"));
        let left = succeeds("scanning", store.scan(&Scan::new(10))).await;
        assert!(left.completions.is_empty(), "{left:?}");
    });
}

#[test]
fn a_claim_that_is_void_undoes_the_transaction() {
    smol::block_on(async {
        let test = TestStore::start();
        let store = test.store();
        run(&store, "job").await;
        let lease = Duration::from_secs(60);
        let taken = succeeds("taking", store.take(&Take::new(1), lease)).await;
        let claim = taken.work[0].1.clone();
        let record = format!("SELECT midplane.handled('job', {})", claim.token);
        // While a transaction is at it, the lease is neither renewed nor void, and nobody waits.
        let sql = test.open().await;
        sql.run(&test.in_schema(&format!("BEGIN; {record}"))).await;
        let void = succeeds("renewing", store.renew(std::slice::from_ref(&claim), lease)).await;
        assert!(void.is_empty(), "{void:?}");
        sql.run("ROLLBACK").await;
        let verdict = Verdict::Returned;
        let settled = [Settled { claim, verdict }];
        succeeds("settling", store.settle(&settled)).await;
        let error = sql.ask(&test.in_schema(&record)).await.unwrap_err();
        let error = error.as_db_error().expect("the server's answer");
        assert_eq!(error.code().code(), "MP005");
        let left = succeeds("scanning", store.scan(&Scan::new(10))).await;
        assert_eq!(left.completions.len(), 1);
    });
}
