//! Transactions: a stream yields what is committed, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use midplane::completions::{CompletionStream, Filter, Outcome, StreamItem};
use midplane_testkit::{succeeds, within};

use crate::fixture::{Fixture, Transaction};
use crate::script::{
    begin, execution, expect, finish, next_item, ready_item, run, subscribe, subscribe_filtered,
};

async fn finish_in(transaction: &mut Box<dyn Transaction>, id: &str, bytes: &'static str) {
    let id = execution(id);
    let bytes = Some(Bytes::from_static(bytes.as_bytes()));
    let finished = transaction.finish(&id, &Outcome::Success, bytes);
    succeeds("finishing", finished).await;
}

/// "There is no completion of what did not happen."
pub(crate) async fn what_is_rolled_back_is_never_seen(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    begin(&*producer, "undone").await;
    let mut stream = subscribe(&*fixture.backend()).await;
    let Some(mut transaction) = fixture.begin().await else {
        return;
    };
    finish_in(&mut transaction, "undone", "never").await;
    within("rolling back", transaction.rollback()).await;
    run(&*producer, "fence").await;
    expect(&mut stream, "fence").await;
    // It is as if nothing had been: the execution can still fail.
    finish(&*producer, "undone", &Outcome::Failure, None).await;
    let arrived = expect(&mut stream, "undone").await;
    assert_eq!(arrived.outcome, Outcome::Failure);
}

/// "What commits late must come behind every place that was given out before it committed."
pub(crate) async fn what_commits_late_is_not_skipped(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    for round in 0..5 {
        let (late, early) = (format!("late {round}"), format!("early {round}"));
        begin(&*producer, &late).await;
        let Some(mut transaction) = fixture.begin().await else {
            return;
        };
        let mut before = subscribe(&*fixture.backend()).await;
        finish_in(&mut transaction, &late, "late").await;
        run(&*producer, &early).await;
        // The store may hold the early one back until the late one is decided, or not.
        let ready = ready_item(&mut before);
        // The place of this one is given out while the late one has its number and is not committed.
        let between = subscribe(&*fixture.backend()).await;
        succeeds("committing", transaction.commit()).await;
        let both = BTreeSet::from([&*late, &*early]);
        expect_each(before, ready, both).await;
        let one = BTreeSet::from([&*late]);
        expect_each(between, None, one).await;
    }
}

/// Waits for all of these, in any order, none twice. Others may be among them.
async fn expect_each(
    mut stream: CompletionStream,
    ready: Option<StreamItem>,
    mut missing: BTreeSet<&str>,
) {
    let mut arrived = BTreeSet::new();
    let mut next = ready;
    while !missing.is_empty() {
        let item = match next.take() {
            Some(item) => item,
            None => next_item(&mut stream).await,
        };
        let StreamItem::Completion(completion) = item else {
            panic!("the next item should be a completion, not {item:?}");
        };
        let id = completion.execution;
        missing.remove(id.as_str());
        assert!(arrived.insert(id.clone()), "{id} arrived twice");
    }
}

/// "Send the same payload twice in one transaction": both are handled.
pub(crate) async fn equal_payloads_of_one_transaction_both_arrive(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe_filtered(&*fixture.backend(), &Filter::all()).await;
    begin(&*producer, "one").await;
    begin(&*producer, "two").await;
    let Some(mut transaction) = fixture.begin().await else {
        return;
    };
    finish_in(&mut transaction, "one", "the same").await;
    finish_in(&mut transaction, "two", "the same").await;
    succeeds("committing", transaction.commit()).await;
    for id in ["one", "two"] {
        let arrived = expect(&mut stream, id).await;
        assert_eq!(arrived.bytes.as_deref(), Some(&b"the same"[..]));
    }
}
