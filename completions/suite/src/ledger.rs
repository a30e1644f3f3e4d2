//! The ledger: scans, claims and leases.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use midplane::completions::{Claim, ExecutionId, Ledger, Outcome, Scan};
use midplane_testkit::wait::pause;
use midplane_testkit::{succeeds, within};

use crate::fixture::Fixture;
use crate::script::{begin, execution, finish, run, run_all};

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(3_600);

/// Calls of the ledger with the waiting done.
struct LedgerScript(Arc<dyn Ledger>);

impl LedgerScript {
    /// Every execution of a whole scan in pages of this size, as they come.
    async fn scan(&self, most: usize) -> Vec<String> {
        let mut seen = Vec::new();
        let mut scan = Scan::new(Duration::ZERO, most);
        loop {
            let page = succeeds("scanning", self.0.scan(&scan)).await;
            assert!(
                page.completions.len() <= most.max(1),
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

    async fn claim(&self, ids: &[&str], lease: Duration) -> Vec<Claim> {
        let ids: Vec<ExecutionId> = ids.iter().map(execution).collect();
        succeeds("claiming", self.0.claim(&ids, lease)).await
    }

    async fn handled(&self, claims: &[Claim]) {
        succeeds("settling", self.0.handled(claims)).await;
    }

    async fn release(&self, claims: &[Claim], pause: Duration) {
        succeeds("settling", self.0.release(claims, pause)).await;
    }
}

/// "Executions that finished and were not yet handled."
pub(crate) async fn what_finished_is_scanned_until_it_is_handled(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    assert!(ledger.scan(10).await.is_empty(), "nothing is there");
    begin(&*producer, "running").await;
    for (number, outcome) in Outcome::KNOWN.iter().enumerate() {
        let id = format!("job {number}");
        begin(&*producer, &id).await;
        finish(&*producer, &id, outcome, Some("result".into())).await;
    }
    let scan = Scan::new(Duration::ZERO, 10);
    let page = succeeds("scanning", ledger.0.scan(&scan)).await;
    let outcomes: Vec<_> = page
        .completions
        .iter()
        .map(|completion| &completion.outcome)
        .collect();
    assert_eq!(outcomes, Outcome::KNOWN.iter().collect::<Vec<_>>());
    assert!(
        page.completions
            .iter()
            .all(|completion| completion.bytes.as_deref() == Some(b"result"))
    );
    // What the stream lost or its history forgot is here all the same.
    fixture.expire_history().await;
    assert_eq!(ledger.scan(10).await.len(), 5);
    let claims = ledger.claim(&["job 1", "job 3"], LONG).await;
    assert_eq!(claims.len(), 2);
    assert_eq!(
        ledger.scan(10).await,
        ["job 0", "job 2", "job 4"],
        "without what is leased"
    );
    ledger.handled(&claims).await;
    assert_eq!(ledger.scan(10).await, ["job 0", "job 2", "job 4"]);
    assert!(
        ledger.claim(&["job 1", "job 3"], LONG).await.is_empty(),
        "handled is for good"
    );
    ledger.handled(&claims).await;
}

/// "Finished at least `stale` ago."
pub(crate) async fn what_finished_just_now_is_not_stale(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run(&*producer, "job").await;
    let page = succeeds("scanning", ledger.0.scan(&Scan::new(LONG, 10))).await;
    assert!(page.completions.is_empty(), "it finished just now");
    assert_eq!(ledger.scan(10).await, ["job"]);
}

/// "Fair paging that a stuck head cannot starve."
pub(crate) async fn pages_show_everything_once(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    let ids: Vec<_> = (0..25).map(|number| format!("job {number:02}")).collect();
    run_all(&*producer, &ids).await;
    for most in [0, 1, 4, 5, 24, 25, 26] {
        assert_eq!(ledger.scan(most).await, ids, "in pages of {most}");
    }
    // The head fails and waits for another try: what is behind it comes first.
    let head = ledger.claim(&["job 00", "job 01"], LONG).await;
    ledger.release(&head, LONG).await;
    assert_eq!(ledger.scan(2).await, ids[2..]);
    let first = succeeds("scanning", ledger.0.scan(&Scan::new(Duration::ZERO, 2))).await;
    let first: Vec<_> = first
        .completions
        .iter()
        .map(|completion| completion.execution.as_str())
        .collect();
    assert_eq!(
        first,
        ["job 02", "job 03"],
        "the head takes no place in a page"
    );
}

/// "Claims are leases": nobody else gets one meanwhile.
pub(crate) async fn a_claim_excludes_every_other(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    begin(&*producer, "running").await;
    run_all(&*producer, ["a", "b"]).await;
    let claims = ledger.claim(&["a", "running", "unknown"], LONG).await;
    assert_eq!(claims.len(), 1, "what is not finished cannot be claimed");
    assert_eq!(claims[0].execution.as_str(), "a");
    assert_eq!(claims[0].failures, 0);
    let others = ledger.claim(&["a", "b"], LONG).await;
    assert_eq!(others.len(), 1, "what is claimed cannot be claimed");
    assert_eq!(others[0].execution.as_str(), "b");
    assert!(ledger.claim(&[], LONG).await.is_empty());
    // Of many at once, one wins.
    for round in 0..5 {
        let id = format!("contested {round}");
        run(&*producer, &id).await;
        let contested = [&*id];
        let claims = join_all((0..8).map(|_| ledger.claim(&contested, LONG))).await;
        assert_eq!(claims.iter().flatten().count(), 1, "one claim is given");
    }
}

/// "Claims come back": a claimant that does not settle loses its claims by time.
pub(crate) async fn a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void(
    fixture: Arc<dyn Fixture>,
) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run(&*producer, "job").await;
    let old = ledger.claim(&["job"], Duration::from_millis(50)).await;
    assert_eq!(old.len(), 1);
    let new = within("the lease ends", async {
        loop {
            let claims = ledger.claim(&["job"], LONG).await;
            if !claims.is_empty() {
                return claims;
            }
            pause().await;
        }
    })
    .await;
    assert_ne!(old[0].token, new[0].token, "claims can be told apart");
    ledger.handled(&old).await;
    ledger.release(&old, Duration::ZERO).await;
    assert!(
        ledger.claim(&["job"], LONG).await.is_empty(),
        "the new claim stands"
    );
    ledger.release(&new, Duration::ZERO).await;
    assert_eq!(
        ledger.scan(10).await,
        ["job"],
        "the old claim settled nothing"
    );
}

/// "Come back when the work failed"; "failure backoff".
pub(crate) async fn released_work_waits_and_comes_back(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run_all(&*producer, ["a", "b"]).await;
    for failures in 0..3 {
        let claims = ledger.claim(&["a"], LONG).await;
        assert_eq!(claims.len(), 1, "released work can be claimed");
        assert_eq!(claims[0].failures, failures, "the failures are counted");
        ledger.release(&claims, Duration::ZERO).await;
        assert_eq!(ledger.scan(10).await, ["a", "b"]);
    }
    let claims = ledger.claim(&["a"], LONG).await;
    ledger.release(&claims, Duration::from_millis(50)).await;
    within("the pause ends", async {
        while ledger.scan(10).await != ["a", "b"] {
            pause().await;
        }
    })
    .await;
    let claims = ledger.claim(&["a"], LONG).await;
    ledger.release(&claims, LONG).await;
    assert_eq!(ledger.scan(10).await, ["b"], "it waits for another try");
    assert_eq!(
        ledger.claim(&["a"], LONG).await.len(),
        1,
        "it can be claimed by name"
    );
}
