//! Calls of a ledger with the waiting done.

use std::sync::Arc;
use std::time::Duration;

use midplane::completions::{
    Claim, Execution, FlowId, Ledger, Producer, Scan, Settled, Take, Taken, Verdict,
};
use midplane_testkit::succeeds;

use crate::script::{complete, execution, start};

/// Longer than any check takes.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// Calls of the ledger with the waiting done.
pub(crate) struct LedgerScript(pub(crate) Arc<dyn Ledger>);

impl LedgerScript {
    /// Every execution of a whole scan in pages, as they come.
    pub(crate) async fn pages(&self, mut scan: Scan) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let page = succeeds("scanning", self.0.scan(&scan)).await;
            assert!(
                page.completions.len() <= scan.most.max(1),
                "a page has its bound"
            );
            let ids = page.completions.iter();
            seen.extend(ids.map(|completion| completion.execution.to_string()));
            match page.next {
                None => return seen,
                next => scan = scan.after(next),
            }
        }
    }

    pub(crate) async fn scan(&self, most: usize) -> Vec<String> {
        self.pages(Scan::new(most)).await
    }

    pub(crate) async fn take_as(&self, take: Take, lease: Duration) -> Taken {
        succeeds("taking", self.0.take(&take, lease)).await
    }

    /// The claims on what is taken.
    pub(crate) async fn take(&self, most: usize, lease: Duration) -> Vec<Claim> {
        let taken = self.take_as(Take::new(most), lease).await;
        assert!(taken.work.len() <= most.max(1), "a call has its bound");
        taken.work.into_iter().map(|(_, claim)| claim).collect()
    }

    pub(crate) async fn settle(&self, claims: &[Claim], verdict: Verdict) {
        let settled = claims.iter().map(|claim| Settled {
            claim: claim.clone(),
            verdict: verdict.clone(),
        });
        let settled: Vec<_> = settled.collect();
        succeeds("settling", self.0.settle(&settled)).await;
    }

    pub(crate) async fn renew(&self, claims: &[Claim], lease: Duration) -> Vec<Claim> {
        succeeds("renewing", self.0.renew(claims, lease)).await
    }
}

pub(crate) fn names(claims: &[Claim]) -> Vec<&str> {
    claims
        .iter()
        .map(|claim| claim.execution.as_str())
        .collect()
}

/// Starts and completes executions of a flow.
pub(crate) async fn run_flow(producer: &dyn Producer, flow: &str, ids: &[&str]) {
    for id in ids {
        let flow = FlowId::new(flow).expect("an id");
        start(producer, &Execution::new(execution(id)).with_flow(flow)).await;
        complete(producer, id).await;
    }
}
