//! Groups: several ledgers of one store.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use midplane::completions::{
    BackendError, BackendErrorKind, Change, Claim, ErrorText, Execution, Group, GroupName,
    GroupStart, GroupStatus, Groups, Outcome, Producer, Scan, Settled, Take, Verdict,
};
use midplane_testkit::{succeeds, within};

use crate::fixture::Fixture;
use crate::grouped::Grouped;
use crate::ledger;
use crate::ledger_script::{LONG, LedgerScript, names, run_flow};
use crate::script::{begin, complete, execution, run, run_all};

/// Executions that a group missed: more than a store lists for it at once.
const MISSED: usize = 1_050;

/// Executions that are finished at once.
const PRODUCED_AT_ONCE: usize = 16;

fn name(text: &str) -> GroupName {
    GroupName::new(text).expect("an id")
}

async fn register(groups: &Arc<dyn Groups>, group: Group) -> LedgerScript {
    LedgerScript(succeeds("registering", groups.register(&group)).await)
}

/// The ledger of a new group that begins now.
async fn new_group(groups: &Arc<dyn Groups>, text: &str) -> LedgerScript {
    register(groups, Group::new(name(text))).await
}

async fn remove(groups: &Arc<dyn Groups>, group: Option<&str>) -> bool {
    let group = group.map(name);
    succeeds("removing", groups.remove(group.as_ref())).await
}

/// Whether the store knows an execution no more, so that one of this id starts anew.
async fn is_forgotten(producer: &dyn Producer, id: &str) -> bool {
    let again = within("starting", producer.start(&Execution::new(execution(id)))).await;
    matches!(again, Ok(Change::Made))
}

async fn handle_all(ledger: &LedgerScript) -> Vec<String> {
    let claims = ledger.take(1_000, LONG).await;
    ledger.settle(&claims, Verdict::Handled).await;
    names(&claims).into_iter().map(str::to_owned).collect()
}

/// Every promise of a ledger is one of the ledger of a group: the checks of those are run on one group after another.
pub(crate) async fn a_group_is_a_ledger_like_any_other(fixture: Arc<dyn Fixture>) {
    type LedgerCheck = fn(Arc<dyn Fixture>) -> BoxFuture<'static, ()>;
    let checks: [LedgerCheck; 10] = [
        |fixture| {
            Box::pin(ledger::what_finished_is_scanned_until_it_is_handled(
                fixture,
            ))
        },
        |fixture| Box::pin(ledger::pages_show_everything_once(fixture)),
        |fixture| Box::pin(ledger::a_claim_excludes_every_other(fixture)),
        |fixture| {
            Box::pin(ledger::a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void(fixture))
        },
        |fixture| Box::pin(ledger::a_lease_that_is_renewed_holds(fixture)),
        |fixture| Box::pin(ledger::released_work_waits_and_comes_back(fixture)),
        |fixture| {
            Box::pin(ledger::a_flow_is_taken_by_one_and_from_its_beginning(
                fixture,
            ))
        },
        |fixture| Box::pin(ledger::no_namespace_waits_for_another(fixture)),
        |fixture| Box::pin(ledger::a_dead_letter_is_kept_and_can_be_replayed(fixture)),
        |fixture| Box::pin(ledger::a_dead_letter_says_what_its_last_attempt_failed_with(fixture)),
    ];
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    assert!(
        remove(&groups, None).await,
        "it is there from the beginning"
    );
    for (number, check) in checks.iter().enumerate() {
        let group = format!("group {number}");
        let ledger = new_group(&groups, &group).await.0;
        let grouped = Grouped {
            fixture: Arc::clone(&fixture),
            ledger,
        };
        check(Arc::new(grouped)).await;
        // Of what a check did nothing is left, so that the next one may use the same ids.
        let running = execution("running");
        let ended = producer.finish(&running, &Outcome::Success, None);
        drop(within("finishing", ended).await);
        assert!(remove(&groups, Some(&group)).await, "it is there");
        fixture.expire_history().await;
    }
}

/// "Each group handles every completion once", in the order in which they finished.
pub(crate) async fn each_group_handles_everything_once_and_in_order(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let unnamed = LedgerScript(fixture.ledger());
    let audit = new_group(&groups, "audit").await;
    let billing = new_group(&groups, "billing").await;
    let ids: Vec<_> = (0..20).map(|number| format!("job {number:02}")).collect();
    run_all(&*producer, &ids[..10]).await;
    assert_eq!(handle_all(&audit).await, ids[..10]);
    run_flow(&*producer, "flow", &["first", "second"]).await;
    run_all(&*producer, &ids[10..]).await;
    let flow = ["first", "second"].map(str::to_owned);
    let late = [&flow[..], &ids[10..]].concat();
    let all = [&ids[..10], &late].concat();
    assert_eq!(handle_all(&audit).await, late);
    assert_eq!(handle_all(&billing).await, all);
    assert_eq!(handle_all(&unnamed).await, all);
    for ledger in [&unnamed, &audit, &billing] {
        assert!(handle_all(ledger).await.is_empty(), "once");
        assert!(ledger.scan(10).await.is_empty());
    }
}

/// "Leases, failures, pauses, dead letters and flows are of one group."
pub(crate) async fn what_one_group_does_is_unknown_to_another(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let unnamed = LedgerScript(fixture.ledger());
    let audit = new_group(&groups, "audit").await;
    let billing = new_group(&groups, "billing").await;
    run_flow(&*producer, "flow", &["1", "2"]).await;
    // A claim, also of a flow, is of one group.
    let audits = audit.take(9, LONG).await;
    let billings = billing.take(9, LONG).await;
    let unnameds = unnamed.take(9, LONG).await;
    for claims in [&audits, &billings, &unnameds] {
        assert_eq!(names(claims), ["1", "2"]);
    }
    // And so is what becomes of it.
    let settled = |claims: &[Claim], verdict: [Verdict; 2]| -> Vec<_> {
        let claims = claims.iter().cloned();
        claims
            .zip(verdict)
            .map(|(claim, verdict)| Settled { claim, verdict })
            .collect()
    };
    let dead = Verdict::Dead(ErrorText::new("of the audit"));
    let audits = settled(&audits, [dead, Verdict::Handled]);
    succeeds("settling", audit.0.settle(&audits)).await;
    // The claims of another group are no claims here.
    succeeds("settling", billing.0.settle(&audits)).await;
    assert_eq!(billing.renew(&billings, LONG).await, []);
    assert_eq!(billing.scan(9).await, ["1", "2"]);
    assert_eq!(audit.pages(Scan::dead(9)).await, ["1"]);
    assert!(billing.pages(Scan::dead(9)).await.is_empty());
    assert!(unnamed.pages(Scan::dead(9)).await.is_empty());
    let failed = [Verdict::Failed(LONG), Verdict::Returned];
    succeeds("settling", billing.0.settle(&settled(&billings, failed))).await;
    assert!(billing.take(9, LONG).await.is_empty(), "its head waits");
    unnamed.settle(&unnameds, Verdict::Returned).await;
    let unnameds = unnamed.take(9, LONG).await;
    assert_eq!(names(&unnameds), ["1", "2"], "it knows of no failure");
    assert_eq!(unnameds[0].failures, 0);
    unnamed.settle(&unnameds, Verdict::Handled).await;
    let replay = async |ledger: &LedgerScript| {
        let id = [execution("1")];
        succeeds("replaying", ledger.0.replay(&id)).await
    };
    assert_eq!(replay(&billing).await, 0);
    assert_eq!(replay(&unnamed).await, 0);
    assert_eq!(replay(&audit).await, 1);
    assert_eq!(handle_all(&audit).await, ["1"]);
    assert_eq!(billing.scan(9).await, ["1", "2"]);
}

/// "The completions that are in the history when the group is registered, and all later ones."
pub(crate) async fn a_group_begins_with_what_is_kept(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let beginning = |text: &str| Group::new(name(text)).starting(GroupStart::Beginning);
    begin(&*producer, "running").await;
    run_all(&*producer, ["a", "b"]).await;
    // What another group has handled is in the history all the same.
    handle_all(&LedgerScript(fixture.ledger())).await;
    let early = register(&groups, beginning("early")).await;
    run(&*producer, "c").await;
    assert_eq!(early.scan(1).await, ["a", "b", "c"]);
    assert_eq!(handle_all(&early).await, ["a", "b", "c"]);
    fixture.expire_history().await;
    let late = register(&groups, beginning("late")).await;
    assert!(late.scan(9).await.is_empty(), "the history is empty");
    complete(&*producer, "running").await;
    assert_eq!(handle_all(&late).await, ["running"]);
}

/// "What is committed after the group was registered."
pub(crate) async fn a_group_begins_now(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    run_all(&*producer, ["before", "settled"]).await;
    begin(&*producer, "late").await;
    let mut transaction = fixture.begin().await;
    if let Some(transaction) = &mut transaction {
        let id = execution("late");
        let finished = transaction.finish(&id, &Outcome::Success, None);
        succeeds("finishing", finished).await;
    }
    let ledger = new_group(&groups, "group").await;
    assert!(ledger.scan(9).await.is_empty());
    run(&*producer, "after").await;
    assert_eq!(handle_all(&ledger).await, ["after"]);
    match transaction {
        Some(transaction) => succeeds("committing", transaction.commit()).await,
        None => complete(&*producer, "late").await,
    }
    assert_eq!(handle_all(&ledger).await, ["late"], "it is not skipped");
}

/// "No group waits for another": however much a group has to catch up with, its looks find all of it.
pub(crate) async fn a_group_that_was_away_catches_up(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let ledger = new_group(&groups, "group").await;
    let producer = fixture.producer();
    let producer = &*producer;
    let ids: BTreeSet<_> = (0..MISSED).map(|number| format!("job {number}")).collect();
    stream::iter(&ids)
        .for_each_concurrent(PRODUCED_AT_ONCE, |id| run(producer, id))
        .await;
    let mut handled = BTreeSet::new();
    loop {
        let taken = ledger.take_as(Take::new(1_000), LONG).await;
        let claims: Vec<_> = taken.work.into_iter().map(|(_, claim)| claim).collect();
        for id in names(&claims) {
            assert!(handled.insert(id.to_owned()), "{id} comes once");
        }
        ledger.settle(&claims, Verdict::Handled).await;
        if !taken.more {
            break;
        }
        assert!(!claims.is_empty(), "a look that finds more finds something");
    }
    assert_eq!(handled, ids, "there was more as long as there was");
}

/// "An execution is kept until its record is out of the history and every group has handled it."
pub(crate) async fn what_a_group_has_not_handled_is_kept(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let unnamed = LedgerScript(fixture.ledger());
    let audit = new_group(&groups, "audit").await;
    let billing = new_group(&groups, "billing").await;
    run_all(&*producer, ["a", "b"]).await;
    // One group looked, and one has not yet.
    assert_eq!(audit.scan(9).await, ["a", "b"]);
    handle_all(&unnamed).await;
    fixture.expire_history().await;
    assert_eq!(billing.scan(9).await, ["a", "b"], "it has not looked yet");
    assert_eq!(handle_all(&billing).await, ["a", "b"]);
    fixture.expire_history().await;
    let claims = audit.take(9, LONG).await;
    assert_eq!(names(&claims), ["a", "b"]);
    let dead = Verdict::Dead(ErrorText::default());
    audit.settle(&claims[..1], dead).await;
    audit.settle(&claims[1..], Verdict::Handled).await;
    fixture.expire_history().await;
    assert!(is_forgotten(&*producer, "b").await, "all have handled it");
    assert_eq!(audit.pages(Scan::dead(9)).await, ["a"], "it is kept");
    assert!(!is_forgotten(&*producer, "a").await, "it is kept");
    succeeds("replaying", audit.0.replay(&[execution("a")])).await;
    assert_eq!(handle_all(&audit).await, ["a"]);
    fixture.expire_history().await;
    assert!(is_forgotten(&*producer, "a").await, "all have handled it");
}

/// "Is given up for that group when the execution finished longer ago than the group's `keep`."
pub(crate) async fn what_a_group_keeps_no_longer_is_given_up(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let keeping = |text: &str, keep| Group::new(name(text)).with_keep(keep);
    let unnamed = LedgerScript(fixture.ledger());
    let listed = register(&groups, keeping("listed", Duration::ZERO)).await;
    let behind = register(&groups, keeping("behind", Duration::ZERO)).await;
    let patient = register(&groups, keeping("patient", LONG)).await;
    run_all(&*producer, ["dead", "taken", "open"]).await;
    handle_all(&unnamed).await;
    let claims = listed.take(2, LONG).await;
    let dead = Verdict::Dead(ErrorText::default());
    listed.settle(&claims[..1], dead).await;
    // The history of this age is kept, and what is given up does not depend on it.
    fixture.prune(LONG).await;
    for ledger in [&listed, &behind] {
        assert!(ledger.scan(9).await.is_empty());
        assert!(ledger.pages(Scan::dead(9)).await.is_empty());
        assert!(ledger.take(9, LONG).await.is_empty());
    }
    assert_eq!(patient.scan(9).await, ["dead", "taken", "open"]);
    // What was given up while it was in work is handled, so far as its claim goes.
    assert_eq!(listed.renew(&claims[1..], LONG).await, []);
    listed.settle(&claims[1..], Verdict::Handled).await;
    fixture.expire_history().await;
    assert_eq!(handle_all(&patient).await, ["dead", "taken", "open"]);
    fixture.expire_history().await;
    assert!(is_forgotten(&*producer, "taken").await);
    run(&*producer, "later").await;
    for ledger in [&unnamed, &listed, &behind, &patient] {
        assert_eq!(handle_all(ledger).await, ["later"], "the group goes on");
    }
}

async fn not_installed<T>(call: impl Future<Output = Result<T, BackendError>>) {
    match within("a refusal", call).await {
        Ok(_) => panic!("the group is gone"),
        Err(error) => assert_eq!(error.kind(), BackendErrorKind::NotInstalled, "{error}"),
    }
}

/// "Its ledgers fail with `NotInstalled` from then on", whatever they are asked.
async fn is_gone(ledger: &LedgerScript, claims: &[Claim]) {
    let settled = claims.iter().cloned().map(|claim| Settled {
        claim,
        verdict: Verdict::Returned,
    });
    let settled: Vec<_> = settled.collect();
    not_installed(ledger.0.take(&Take::new(1), LONG)).await;
    not_installed(ledger.0.renew(claims, LONG)).await;
    not_installed(ledger.0.settle(&settled)).await;
    not_installed(ledger.0.scan(&Scan::new(1))).await;
    not_installed(ledger.0.replay(&[execution("a")])).await;
}

/// "Removes a group with all that it has not handled, which keeps nothing any more."
pub(crate) async fn a_removed_group_holds_nothing(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let unnamed = LedgerScript(fixture.ledger());
    assert!(!remove(&groups, Some("group")).await, "there is none yet");
    let ledger = new_group(&groups, "group").await;
    run_all(&*producer, ["dead", "claimed", "open"]).await;
    let claims = ledger.take(2, LONG).await;
    let dead = Verdict::Dead(ErrorText::default());
    ledger.settle(&claims[..1], dead).await;
    run(&*producer, "behind").await;
    assert_eq!(handle_all(&unnamed).await.len(), 4);
    fixture.expire_history().await;
    assert!(remove(&groups, Some("group")).await);
    assert!(!remove(&groups, Some("group")).await, "it is gone");
    is_gone(&ledger, &claims[1..]).await;
    fixture.expire_history().await;
    for id in ["dead", "claimed", "open", "behind"] {
        assert!(is_forgotten(&*producer, id).await, "{id} is kept by nobody");
    }
    // One of this name begins anew, and the old claim is none of its own.
    let anew = new_group(&groups, "group").await;
    anew.settle(&claims[1..], Verdict::Handled).await;
    assert!(anew.scan(9).await.is_empty());
    complete(&*producer, "open").await;
    assert_eq!(handle_all(&anew).await, ["open"]);
}

/// "`None` is the group without a name, which is removed for good": named groups alone decide what is kept.
pub(crate) async fn the_group_without_a_name_is_removed_for_good(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let unnamed = LedgerScript(fixture.ledger());
    let ledger = new_group(&groups, "group").await;
    run_all(&*producer, ["dead", "claimed", "open"]).await;
    let claims = unnamed.take(2, LONG).await;
    let dead = Verdict::Dead(ErrorText::default());
    unnamed.settle(&claims[..1], dead).await;
    assert!(remove(&groups, None).await);
    assert!(!remove(&groups, None).await, "it is gone");
    run(&*producer, "later").await;
    is_gone(&unnamed, &claims[1..]).await;
    is_gone(&LedgerScript(fixture.ledger()), &claims[1..]).await;
    let all = ["dead", "claimed", "open", "later"];
    assert_eq!(handle_all(&ledger).await, all);
    fixture.expire_history().await;
    for id in all {
        assert!(is_forgotten(&*producer, id).await, "{id} is kept by nobody");
    }
    let statuses = succeeds("asking", groups.groups()).await;
    let there: Vec<_> = statuses.into_iter().map(|status| status.name).collect();
    assert_eq!(there, [Some(name("group"))]);
}

/// "A group that is there keeps its place and all that it has handled."
pub(crate) async fn registering_again_keeps_the_place(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let first = new_group(&groups, "group").await;
    run_all(&*producer, ["a", "b"]).await;
    let claims = first.take(2, LONG).await;
    first.settle(&claims[..1], Verdict::Handled).await;
    // The group has not looked since.
    run(&*producer, "c").await;
    for start in [GroupStart::Now, GroupStart::Beginning] {
        let again = register(&groups, Group::new(name("group")).starting(start)).await;
        assert_eq!(again.scan(9).await, ["b", "c"]);
        assert_eq!(again.renew(&claims[1..], LONG).await, [], "it holds");
    }
    // Two ledgers of one group are the same.
    let again = new_group(&groups, "group").await;
    run(&*producer, "d").await;
    let others = again.take(9, LONG).await;
    assert_eq!(names(&others), ["c", "d"]);
    assert!(first.take(9, LONG).await.is_empty());
    first.settle(&others, Verdict::Handled).await;
    assert_eq!(again.scan(9).await, ["b"]);
    // How long it keeps something is what was said last.
    let brief = Group::new(name("group")).with_keep(Duration::ZERO);
    let brief = register(&groups, brief).await;
    fixture.prune(LONG).await;
    assert!(brief.scan(9).await.is_empty());
}

/// "How far a group is", and every group, in the order of the names.
pub(crate) async fn groups_say_how_far_they_are(fixture: Arc<dyn Fixture>) {
    let Some(groups) = fixture.groups() else {
        return;
    };
    let producer = fixture.producer();
    let day = Duration::from_secs(86_400);
    run(&*producer, "before").await;
    let second = new_group(&groups, "b").await;
    let odd = "it's {a} \"name\" \\ : $1 š";
    let odd_ledger = new_group(&groups, odd).await;
    register(&groups, Group::new(name("a")).with_keep(day)).await;
    begin(&*producer, "running").await;
    run_all(&*producer, ["1", "2", "3", "4"]).await;
    let claims = second.take(3, LONG).await;
    let dead = Verdict::Dead(ErrorText::default());
    second.settle(&claims[..1], dead).await;
    second.settle(&claims[1..2], Verdict::Handled).await;
    run(&*producer, "5").await;
    assert_eq!(handle_all(&odd_ledger).await.len(), 5);
    let status = |group: Option<&str>, keep, unhandled, dead| {
        GroupStatus::new(group.map(name), keep).with_counts(unhandled, dead)
    };
    let statuses = succeeds("asking", groups.groups()).await;
    let expected = [
        status(None, None, 6, 0),
        status(Some("a"), Some(day), 5, 0),
        status(Some("b"), None, 3, 1),
        status(Some(odd), None, 0, 0),
    ];
    assert_eq!(statuses, expected);
}
