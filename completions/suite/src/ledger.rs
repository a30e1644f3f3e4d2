//! What is finished and not handled.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use midplane::completions::{Claim, ExecutionId, Ledger, Outcome, Scan};

use super::Fixture;
use super::listener::{Work, execution};
use midplane_testkit::wait::pause;
use midplane_testkit::within;

/// Longer than any check takes.
const LONG: Duration = Duration::from_secs(3_600);

/// The ledger with the waiting done.
struct Book(Arc<dyn Ledger>);

impl Book {
    /// Every execution of a whole scan in pages of this size, as they come.
    async fn scan(&self, most: usize) -> Vec<String> {
        let mut seen = Vec::new();
        let mut scan = Scan::new(Duration::ZERO, most);
        loop {
            let page = within("scanning", self.0.scan(&scan))
                .await
                .expect("a page");
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
        within("claiming", self.0.claim(&ids, lease))
            .await
            .expect("an answer")
    }

    async fn handled(&self, claims: &[Claim]) {
        within("settling", self.0.handled(claims))
            .await
            .expect("an answer");
    }

    async fn release(&self, claims: &[Claim], pause: Duration) {
        within("settling", self.0.release(claims, pause))
            .await
            .expect("an answer");
    }
}

/// "Executions that finished and were not yet handled."
pub(crate) async fn what_finished_is_scanned_until_it_is_handled(fixture: Arc<dyn Fixture>) {
    let (work, book) = (Work::new(&fixture), Book(fixture.ledger()));
    assert!(book.scan(10).await.is_empty(), "nothing is there");
    work.begin("running").await;
    for (number, outcome) in Outcome::KNOWN.iter().enumerate() {
        let id = format!("job {number}");
        work.begin(&id).await;
        work.finish(&id, outcome, Some("result".into())).await;
    }
    let scan = Scan::new(Duration::ZERO, 10);
    let page = within("scanning", book.0.scan(&scan))
        .await
        .expect("a page");
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
    assert_eq!(book.scan(10).await.len(), 5);
    let claims = book.claim(&["job 1", "job 3"], LONG).await;
    assert_eq!(claims.len(), 2);
    assert_eq!(
        book.scan(10).await,
        ["job 0", "job 2", "job 4"],
        "without what is leased"
    );
    book.handled(&claims).await;
    assert_eq!(book.scan(10).await, ["job 0", "job 2", "job 4"]);
    assert!(
        book.claim(&["job 1", "job 3"], LONG).await.is_empty(),
        "handled is for good"
    );
    book.handled(&claims).await;
}

/// "Finished at least `stale` ago."
pub(crate) async fn what_finished_just_now_is_not_stale(fixture: Arc<dyn Fixture>) {
    let (work, book) = (Work::new(&fixture), Book(fixture.ledger()));
    work.run("job").await;
    let page = within("scanning", book.0.scan(&Scan::new(LONG, 10)))
        .await
        .expect("a page");
    assert!(page.completions.is_empty(), "it finished just now");
    assert_eq!(book.scan(10).await, ["job"]);
}

/// "Fair paging that a stuck head cannot starve."
pub(crate) async fn pages_show_everything_once(fixture: Arc<dyn Fixture>) {
    let (work, book) = (Work::new(&fixture), Book(fixture.ledger()));
    let ids: Vec<_> = (0..25).map(|number| format!("job {number:02}")).collect();
    work.run_all(&ids).await;
    for most in [0, 1, 4, 5, 24, 25, 26] {
        assert_eq!(book.scan(most).await, ids, "in pages of {most}");
    }
    // The head fails and waits for another try: what is behind it comes first.
    let head = book.claim(&["job 00", "job 01"], LONG).await;
    book.release(&head, LONG).await;
    assert_eq!(book.scan(2).await, ids[2..]);
    let first = within("scanning", book.0.scan(&Scan::new(Duration::ZERO, 2)))
        .await
        .expect("a page");
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
    let (work, book) = (Work::new(&fixture), Book(fixture.ledger()));
    work.begin("running").await;
    work.run_all(["a", "b"]).await;
    let claims = book.claim(&["a", "running", "unknown"], LONG).await;
    assert_eq!(claims.len(), 1, "what is not finished cannot be claimed");
    assert_eq!(claims[0].execution.as_str(), "a");
    assert_eq!(claims[0].failures, 0);
    let others = book.claim(&["a", "b"], LONG).await;
    assert_eq!(others.len(), 1, "what is claimed cannot be claimed");
    assert_eq!(others[0].execution.as_str(), "b");
    assert!(book.claim(&[], LONG).await.is_empty());
    // Of many at once, one wins.
    for round in 0..5 {
        let id = format!("contested {round}");
        work.run(&id).await;
        let contested = [&*id];
        let claims = join_all((0..8).map(|_| book.claim(&contested, LONG))).await;
        assert_eq!(claims.iter().flatten().count(), 1, "one claim is given");
    }
}

/// "Claims come back": whoever does not loses them by time.
pub(crate) async fn a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void(
    fixture: Arc<dyn Fixture>,
) {
    let (work, book) = (Work::new(&fixture), Book(fixture.ledger()));
    work.run("job").await;
    let old = book.claim(&["job"], Duration::from_millis(50)).await;
    assert_eq!(old.len(), 1);
    let new = within("the lease ends", async {
        loop {
            let claims = book.claim(&["job"], LONG).await;
            if !claims.is_empty() {
                return claims;
            }
            pause().await;
        }
    })
    .await;
    assert_ne!(old[0].token, new[0].token, "claims can be told apart");
    book.handled(&old).await;
    book.release(&old, Duration::ZERO).await;
    assert!(
        book.claim(&["job"], LONG).await.is_empty(),
        "the new claim stands"
    );
    book.release(&new, Duration::ZERO).await;
    assert_eq!(
        book.scan(10).await,
        ["job"],
        "the old claim settled nothing"
    );
}

/// "Come back when the work failed"; "failure backoff".
pub(crate) async fn released_work_waits_and_comes_back(fixture: Arc<dyn Fixture>) {
    let (work, book) = (Work::new(&fixture), Book(fixture.ledger()));
    work.run_all(["a", "b"]).await;
    for failures in 0..3 {
        let claims = book.claim(&["a"], LONG).await;
        assert_eq!(claims.len(), 1, "released work can be claimed");
        assert_eq!(claims[0].failures, failures, "the failures are counted");
        book.release(&claims, Duration::ZERO).await;
        assert_eq!(book.scan(10).await, ["a", "b"]);
    }
    let claims = book.claim(&["a"], LONG).await;
    book.release(&claims, Duration::from_millis(50)).await;
    within("the pause ends", async {
        while book.scan(10).await != ["a", "b"] {
            pause().await;
        }
    })
    .await;
    let claims = book.claim(&["a"], LONG).await;
    book.release(&claims, LONG).await;
    assert_eq!(book.scan(10).await, ["b"], "it waits for another try");
    assert_eq!(
        book.claim(&["a"], LONG).await.len(),
        1,
        "it can be claimed by name"
    );
}
