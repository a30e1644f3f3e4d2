//! The ledger: leases, flows, turns and dead letters.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use midplane::completions::{
    ErrorText, Execution, ExecutionId, Filter, FlowId, Namespace, Outcome, Scan, Settled, Tag,
    Take, Verdict,
};
use midplane_testkit::wait::pause;
use midplane_testkit::{succeeds, within};

use crate::fixture::Fixture;
use crate::ledger_script::{LONG, LedgerScript, names, run_flow};
use crate::script::{begin, complete, execution, finish, run, run_all, start};

/// "Executions that are finished and not handled."
pub(crate) async fn what_finished_is_scanned_until_it_is_handled(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    assert!(ledger.scan(10).await.is_empty(), "nothing is there");
    assert!(ledger.take(10, LONG).await.is_empty(), "nothing is there");
    begin(&*producer, "running").await;
    for (number, outcome) in Outcome::KNOWN.iter().enumerate() {
        let id = format!("job {number}");
        begin(&*producer, &id).await;
        finish(&*producer, &id, outcome, Some("result".into())).await;
    }
    // What the stream lost or its history forgot is here all the same.
    fixture.expire_history().await;
    assert_eq!(ledger.scan(10).await.len(), 5);
    let taken = ledger.take_as(Take::new(2), LONG).await;
    assert!(taken.more, "three are left");
    for (number, (completion, claim)) in taken.work.iter().enumerate() {
        assert_eq!(completion.outcome, Outcome::KNOWN[number]);
        assert_eq!(completion.bytes.as_deref(), Some(&b"result"[..]));
        assert_eq!(completion.execution, claim.execution);
        assert_eq!(claim.failures, 0);
    }
    let claims: Vec<_> = taken.work.into_iter().map(|(_, claim)| claim).collect();
    assert_eq!(names(&claims), ["job 0", "job 1"]);
    assert_eq!(ledger.scan(10).await.len(), 5, "claimed is not handled");
    for _ in 0..2 {
        ledger.settle(&claims, Verdict::Handled).await;
        assert_eq!(ledger.scan(10).await, ["job 2", "job 3", "job 4"]);
    }
    assert!(
        ledger.renew(&claims, LONG).await.is_empty(),
        "it is handled"
    );
    let rest = ledger.take(10, LONG).await;
    assert_eq!(names(&rest), ["job 2", "job 3", "job 4"]);
}

/// "In the order in which they finished, strictly behind `after`."
pub(crate) async fn pages_show_everything_once(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    let ids: Vec<_> = (0..25).map(|number| format!("job {number:02}")).collect();
    run_all(&*producer, &ids).await;
    for most in [0, 1, 4, 5, 24, 25, 26] {
        assert_eq!(ledger.scan(most).await, ids, "in pages of {most}");
    }
    // The head fails and waits for another try: what is behind it is taken first.
    let head = ledger.take(2, LONG).await;
    ledger.settle(&head, Verdict::Failed(LONG)).await;
    let next = ledger.take(2, LONG).await;
    assert_eq!(
        names(&next),
        ["job 02", "job 03"],
        "the head takes no place"
    );
}

/// "Under no lease": nobody else gets it meanwhile.
pub(crate) async fn a_claim_excludes_every_other(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    begin(&*producer, "running").await;
    run_all(&*producer, ["a", "b"]).await;
    assert_eq!(names(&ledger.take(1, LONG).await), ["a"]);
    assert_eq!(names(&ledger.take(9, LONG).await), ["b"]);
    assert!(ledger.take(9, LONG).await.is_empty());
    // Of many at once, one gets each.
    let ids: Vec<_> = (0..40)
        .map(|number| format!("contested {number}"))
        .collect();
    run_all(&*producer, &ids).await;
    let claims = join_all((0..8).map(|_| ledger.take(10, LONG))).await;
    let mut claimed: Vec<_> = claims.iter().flat_map(|claims| names(claims)).collect();
    claimed.sort_unstable();
    let mut expected: Vec<_> = ids.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(claimed, expected, "each is claimed once");
}

/// "A claimant that dies loses its leases by time alone."
pub(crate) async fn a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void(
    fixture: Arc<dyn Fixture>,
) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run(&*producer, "job").await;
    let old = ledger.take(1, Duration::from_millis(50)).await;
    assert_eq!(old.len(), 1);
    let new = within("the lease ends", async {
        loop {
            let claims = ledger.take(1, LONG).await;
            if !claims.is_empty() {
                return claims;
            }
            pause().await;
        }
    })
    .await;
    assert_ne!(old[0].token, new[0].token, "claims can be told apart");
    assert_eq!(ledger.renew(&old, LONG).await, old, "it is void");
    let dead = Verdict::Dead(ErrorText::default());
    for verdict in [Verdict::Handled, dead, Verdict::Returned] {
        ledger.settle(&old, verdict).await;
        assert!(
            ledger.take(1, LONG).await.is_empty(),
            "the new claim stands"
        );
    }
    ledger.settle(&new, Verdict::Returned).await;
    assert_eq!(ledger.take(1, LONG).await.len(), 1, "nothing is counted");
}

/// "Makes the leases of these claims end this long from now."
pub(crate) async fn a_lease_that_is_renewed_holds(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    let short = Duration::from_secs(3);
    run_all(&*producer, ["renewed", "not renewed"]).await;
    let claims = ledger.take(2, short).await;
    assert!(ledger.renew(&claims[..1], LONG).await.is_empty());
    let taken = within("the lease ends", async {
        loop {
            let claims = ledger.take(2, LONG).await;
            if !claims.is_empty() {
                return claims;
            }
            pause().await;
        }
    })
    .await;
    assert_eq!(names(&taken), ["not renewed"]);
    assert!(
        ledger.renew(&claims[..1], LONG).await.is_empty(),
        "it holds"
    );
}

/// "No execution is taken before the pause has passed", and failures are counted.
pub(crate) async fn released_work_waits_and_comes_back(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run(&*producer, "a").await;
    for failures in 0..3 {
        let claims = ledger.take(1, LONG).await;
        assert_eq!(claims.len(), 1, "what failed comes back");
        assert_eq!(claims[0].failures, failures, "the failures are counted");
        ledger
            .settle(&claims, Verdict::Failed(Duration::ZERO))
            .await;
    }
    let claims = ledger.take(1, LONG).await;
    ledger.settle(&claims, Verdict::Returned).await;
    let claims = ledger.take(1, LONG).await;
    assert_eq!(claims[0].failures, 3, "what was not begun did not fail");
    let brief = Verdict::Failed(Duration::from_millis(50));
    ledger.settle(&claims, brief).await;
    let claims = within("the pause ends", async {
        loop {
            let claims = ledger.take(1, LONG).await;
            if !claims.is_empty() {
                return claims;
            }
            pause().await;
        }
    })
    .await;
    ledger.settle(&claims, Verdict::Failed(LONG)).await;
    assert!(ledger.take(1, LONG).await.is_empty(), "it waits");
    assert_eq!(ledger.scan(1).await, ["a"]);
}

/// "The claim is of the flow."
pub(crate) async fn a_flow_is_taken_by_one_and_from_its_beginning(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run_flow(&*producer, "flow", &["1", "2", "3", "4"]).await;
    run_all(&*producer, ["alone"]).await;
    let first = ledger.take(2, LONG).await;
    assert_eq!(names(&first), ["1", "2"]);
    run_flow(&*producer, "flow", &["5"]).await;
    let other = ledger.take(9, LONG).await;
    assert_eq!(names(&other), ["alone"], "the flow is claimed");
    ledger.settle(&first[..1], Verdict::Handled).await;
    assert!(ledger.take(9, LONG).await.is_empty(), "the flow is claimed");
    ledger.settle(&first[1..], Verdict::Failed(LONG)).await;
    assert!(ledger.take(9, LONG).await.is_empty(), "its first waits");
    // Another flow of this name, in a namespace, is another flow.
    let elsewhere = Execution::new(execution("elsewhere"))
        .with_flow(FlowId::new("flow").expect("an id"))
        .with_namespace(Namespace::new("space").expect("an id"));
    start(&*producer, &elsewhere).await;
    complete(&*producer, "elsewhere").await;
    assert_eq!(names(&ledger.take(9, LONG).await), ["elsewhere"]);

    run_flow(&*producer, "second", &["a", "b", "c", "d"]).await;
    let mut take = Take::new(9);
    take.of_a_flow = 3;
    let taken = ledger.take_as(take, LONG).await;
    assert!(!taken.more, "the flow is claimed");
    let claims: Vec<_> = taken.work.into_iter().map(|(_, claim)| claim).collect();
    assert_eq!(names(&claims), ["a", "b", "c"]);
    // The first fails, and those behind it were not begun.
    let settled = [
        (0, Verdict::Failed(Duration::ZERO)),
        (1, Verdict::Returned),
        (2, Verdict::Returned),
    ];
    let settled = settled.map(|(at, verdict)| Settled {
        claim: claims[at].clone(),
        verdict,
    });
    succeeds("settling", ledger.0.settle(&settled)).await;
    let claims = ledger.take(9, LONG).await;
    assert_eq!(names(&claims), ["a", "b", "c", "d"], "in order again");
    ledger.settle(&claims, Verdict::Handled).await;
    assert!(ledger.take(9, LONG).await.is_empty());
}

/// "Namespaces have their turns", and the filter is the store's.
pub(crate) async fn no_namespace_waits_for_another(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    let put = async |id: &str, namespace: &str, tag: &str| {
        let wanted = Execution::new(execution(id))
            .with_namespace(Namespace::new(namespace).expect("an id"))
            .with_tag(Tag::new(tag).expect("an id"));
        start(&*producer, &wanted).await;
        complete(&*producer, id).await;
    };
    for number in 0..12 {
        put(&format!("busy {number:02}"), "busy", "x").await;
    }
    put("quiet", "quiet", "y").await;
    put("rare", "busy", "z").await;
    run(&*producer, "of no namespace").await;
    let mut first = names(&ledger.take(6, LONG).await)
        .iter()
        .map(|name| (*name).to_owned())
        .collect::<Vec<_>>();
    first.sort_unstable();
    assert!(first.contains(&"quiet".to_owned()), "{first:?}");
    assert!(first.contains(&"of no namespace".to_owned()), "{first:?}");
    assert!(first.contains(&"busy 00".to_owned()), "{first:?}");
    let tag = Filter::all().with_tag(Tag::new("z").expect("an id"));
    let taken = ledger.take_as(Take::new(1).with_filter(tag), LONG).await;
    let ids: Vec<_> = taken
        .work
        .iter()
        .map(|(done, _)| done.execution.as_str())
        .collect();
    assert_eq!(ids, ["rare"]);
    let nobody = Filter::all().with_namespace(Namespace::new("bus").expect("an id"));
    let taken = ledger.take_as(Take::new(1).with_filter(nobody), LONG).await;
    assert!(taken.work.is_empty(), "a filter is exact");
    let busy = Filter::all().with_namespace(Namespace::new("busy").expect("an id"));
    let taken = ledger.take_as(Take::new(20).with_filter(busy), LONG).await;
    let before = first.iter().filter(|id| id.starts_with("busy")).count();
    assert_eq!(taken.work.len(), 12 - before, "the rest of it");
}

/// "A dead letter, which is kept and not taken", until it is replayed.
pub(crate) async fn a_dead_letter_is_kept_and_can_be_replayed(fixture: Arc<dyn Fixture>) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    run_flow(&*producer, "flow", &["1", "2"]).await;
    let claims = ledger.take(1, LONG).await;
    let dead = Verdict::Dead(ErrorText::default());
    ledger.settle(&claims, dead).await;
    fixture.expire_history().await;
    assert_eq!(ledger.pages(Scan::dead(10)).await, ["1"]);
    assert_eq!(ledger.scan(10).await, ["2"]);
    let behind = ledger.take(9, LONG).await;
    assert_eq!(names(&behind), ["2"], "its flow goes on");
    let ids = ["1", "2", "unknown"].map(execution);
    let replay = async |ids: &[ExecutionId]| succeeds("replaying", ledger.0.replay(ids)).await;
    assert_eq!(replay(&ids).await, 1);
    assert_eq!(replay(&ids).await, 0, "it is one no more");
    assert!(ledger.pages(Scan::dead(10)).await.is_empty());
    assert!(ledger.take(9, LONG).await.is_empty(), "its flow is claimed");
    ledger.settle(&behind, Verdict::Returned).await;
    let claims = within("it is taken again", async {
        loop {
            let claims = ledger.take(9, LONG).await;
            if !claims.is_empty() {
                return claims;
            }
            pause().await;
        }
    })
    .await;
    assert_eq!(names(&claims), ["1", "2"], "in its place");
    assert_eq!(claims[0].failures, 0, "from the beginning");
    ledger.settle(&claims, Verdict::Handled).await;
    assert!(ledger.scan(10).await.is_empty());
}

/// "The text of the last error is kept with it", and listed.
pub(crate) async fn a_dead_letter_says_what_its_last_attempt_failed_with(
    fixture: Arc<dyn Fixture>,
) {
    let (producer, ledger) = (fixture.producer(), LedgerScript(fixture.ledger()));
    let errors = async |dead: bool| {
        let mut scan = Scan::new(10);
        scan.dead = dead;
        let page = succeeds("scanning", ledger.0.scan(&scan)).await;
        let errors = page.errors.into_iter();
        errors
            .map(|(id, error)| (id.to_string(), error.to_string()))
            .collect::<Vec<_>>()
    };
    // The longest there is, of characters of four bytes, and one with all that SQL and Lua might take for their own.
    let longest = ErrorText::new(&"\u{1F9EA}".repeat(ErrorText::MOST_BYTES));
    assert_eq!(longest.as_str().len(), ErrorText::MOST_BYTES);
    let odd = ErrorText::new("it's \"odd\" \\ {} $1 %s\r\n\0 š");
    run_all(&*producer, ["longest", "odd", "left"]).await;
    let claims = ledger.take(2, LONG).await;
    ledger
        .settle(&claims[..1], Verdict::Dead(longest.clone()))
        .await;
    ledger
        .settle(&claims[1..], Verdict::Dead(odd.clone()))
        .await;
    let kept = [("longest", &longest), ("odd", &odd)];
    let kept = kept.map(|(id, error)| (id.to_owned(), error.to_string()));
    assert_eq!(errors(true).await, kept);
    assert!(errors(false).await.is_empty(), "what is left did not fail");
    // A claim that is settled says nothing more.
    let other = Verdict::Dead(ErrorText::new("another"));
    ledger.settle(&claims, other).await;
    assert_eq!(errors(true).await, kept);
    // What is replayed and dies again says what it died of last.
    let id = execution("odd");
    succeeds("replaying", ledger.0.replay(&[id])).await;
    assert_eq!(errors(true).await, kept[..1]);
    let claims = ledger.take(1, LONG).await;
    assert_eq!(names(&claims), ["odd"]);
    let again = Verdict::Dead(ErrorText::new("again"));
    ledger.settle(&claims, again).await;
    assert_eq!(
        errors(true).await[1],
        ("odd".to_owned(), "again".to_owned())
    );
}
