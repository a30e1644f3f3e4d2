//! What a transaction does, the listener sees; and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use midplane::completions::{Filter, Outcome, StreamItem};

use super::listener::{Listener, Work, execution};
use super::{Fixture, Transaction};
use midplane_testkit::within;

async fn finish(transaction: &mut Box<dyn Transaction>, id: &str, bytes: &'static str) {
    let id = execution(id);
    let bytes = Some(Bytes::from_static(bytes.as_bytes()));
    let finished = transaction.finish(&id, &Outcome::Success, bytes);
    within("finishing", finished).await.expect("it finishes");
}

/// "There is no completion of what did not happen."
pub(crate) async fn what_is_rolled_back_is_never_seen(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    work.begin("undone").await;
    let mut listener = Listener::new(&fixture).await;
    let Some(mut transaction) = fixture.begin().await else {
        return;
    };
    finish(&mut transaction, "undone", "never").await;
    within("rolling back", transaction.rollback()).await;
    work.run("fence").await;
    listener.hears("fence").await;
    // It is as if nothing had been: the execution can still fail.
    work.finish("undone", &Outcome::Failure, None).await;
    let heard = listener.hears("undone").await;
    assert_eq!(heard.outcome, Outcome::Failure);
}

/// "What commits late must come behind every place that was given out before it committed."
pub(crate) async fn what_commits_late_is_not_skipped(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    for round in 0..5 {
        let (late, early) = (format!("late {round}"), format!("early {round}"));
        work.begin(&late).await;
        let Some(mut transaction) = fixture.begin().await else {
            return;
        };
        let mut before = Listener::new(&fixture).await;
        finish(&mut transaction, &late, "late").await;
        work.run(&early).await;
        // The store may hold the early one back until the late one is decided, or not.
        let glanced = before.glance();
        // The place of this one is given out while the late one has its number and is not committed.
        let between = Listener::new(&fixture).await;
        within("committing", transaction.commit())
            .await
            .expect("it commits");
        let both = BTreeSet::from([&*late, &*early]);
        hear(before, glanced, both).await;
        let one = BTreeSet::from([&*late]);
        hear(between, None, one).await;
    }
}

/// Waits until the listener has heard all of these, none twice.
async fn hear(mut listener: Listener, glanced: Option<StreamItem>, mut missing: BTreeSet<&str>) {
    let mut heard = BTreeSet::new();
    let mut next = glanced;
    while !missing.is_empty() {
        let item = match next.take() {
            Some(item) => item,
            None => listener.next().await,
        };
        let StreamItem::Completion(completion) = item else {
            panic!("the next item should be a completion, not {item:?}");
        };
        let id = completion.execution;
        missing.remove(id.as_str());
        assert!(heard.insert(id.clone()), "{id} arrived twice");
    }
}

/// "Send the same payload twice in one transaction": both are handled.
pub(crate) async fn equal_payloads_of_one_transaction_both_arrive(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    let mut listener = Listener::filtered(&fixture, &Filter::all()).await;
    work.begin("one").await;
    work.begin("two").await;
    let Some(mut transaction) = fixture.begin().await else {
        return;
    };
    finish(&mut transaction, "one", "the same").await;
    finish(&mut transaction, "two", "the same").await;
    within("committing", transaction.commit())
        .await
        .expect("it commits");
    for id in ["one", "two"] {
        let heard = listener.hears(id).await;
        assert_eq!(heard.bytes.as_deref(), Some(&b"the same"[..]));
    }
}
