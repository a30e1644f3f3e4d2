//! A subscription whose connection ends.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use midplane::completions::{BackendErrorKind, CompletionBackend, StreamItem, SubscribeError};
use midplane_testkit::error::shown;
use midplane_testkit::wait::pause;
use midplane_testkit::{eventually, within};

use crate::fixture::Fixture;
use crate::script::{
    expect, expect_idle, expect_resync, next_item, next_trouble, run, run_all, subscribe,
};

/// "Later faults are handled inside, and the stream goes on until dropped"; "`Resync`, emitted after the
/// resubscription is confirmed".
pub(crate) async fn a_stream_outlives_a_cut(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    for round in 0..3 {
        let (before, meanwhile, after) = (
            format!("before {round}"),
            format!("meanwhile {round}"),
            format!("after {round}"),
        );
        run(&*producer, &before).await;
        expect(&mut stream, &before).await;
        fixture.cut();
        run(&*producer, &meanwhile).await;
        // Also a stream that was polled while it could not connect.
        expect_idle(&mut stream);
        fixture.heal();
        let arrived = expect_resync(&mut stream).await;
        if fixture.backend().capabilities().resumes() {
            assert_eq!(arrived.execution.as_str(), meanwhile);
        }
        run(&*producer, &after).await;
        expect(&mut stream, &after).await;
    }
}

/// "This is why": each reason once, and not at every attempt.
pub(crate) async fn a_stream_says_why_it_does_not_work(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*producer, "before").await;
    expect(&mut stream, "before").await;
    for _ in 0..2 {
        fixture.cut();
        let mut told = Vec::new();
        // Attempts go on meanwhile, which say the same again and again.
        told.push(next_trouble(&mut stream).await);
        for _ in 0..20 {
            pause().await;
            while let Some(Some(StreamItem::Trouble(trouble))) = stream.next().now_or_never() {
                told.push(trouble);
            }
        }
        fixture.heal();
        for trouble in &told {
            assert_eq!(trouble.kind, BackendErrorKind::Unreachable, "{trouble:?}");
            assert!(!trouble.text.is_empty(), "a reason");
        }
        assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
        assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
    }
}

/// A subscription that never saw a completion has a place too.
pub(crate) async fn a_cut_before_anything_arrived_loses_nothing(fixture: Arc<dyn Fixture>) {
    if !fixture.backend().capabilities().resumes() {
        return;
    }
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    fixture.cut();
    run_all(&*producer, ["a", "b"]).await;
    fixture.heal();
    assert_eq!(expect_resync(&mut stream).await.execution.as_str(), "a");
    expect(&mut stream, "b").await;
}

async fn refusal(backend: &Arc<dyn CompletionBackend>) -> (BackendErrorKind, String) {
    let error = within("subscribing", backend.subscribe_completions())
        .await
        .expect_err("there is nothing to subscribe to");
    let text = shown(&error);
    match error {
        SubscribeError::Backend(error) => (error.kind(), text),
        error => panic!("the store should be at fault, not {error:?}"),
    }
}

/// "Set-up errors come back from the call."
pub(crate) async fn a_wrong_set_up_is_the_errors_of_the_call(fixture: Arc<dyn Fixture>) {
    let backend = fixture.backend();
    fixture.cut();
    let (kind, text) = refusal(&backend).await;
    assert_eq!(kind, BackendErrorKind::Unreachable, "{text}");
    fixture.heal();
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*fixture.producer(), "healed").await;
    expect(&mut stream, "healed").await;
    if let Some((backend, secrets)) = fixture.intruder() {
        let (kind, text) = refusal(&backend).await;
        assert_eq!(kind, BackendErrorKind::Denied, "{text}");
        let shown = format!("{text} {backend:?}");
        for secret in secrets {
            assert!(!shown.contains(&secret), "{shown} shows {secret}");
        }
    }
    if let Some(backend) = fixture.bare() {
        let (kind, text) = refusal(&backend).await;
        assert_eq!(kind, BackendErrorKind::NotInstalled, "{text}");
    }
}

/// "Dropping it releases the connection promptly even when idle."
pub(crate) async fn dropping_an_idle_stream_releases_its_connection(fixture: Arc<dyn Fixture>) {
    let before = fixture.connections();
    let unpolled = subscribe(&*fixture.backend()).await;
    let mut waiting = subscribe(&*fixture.backend()).await;
    assert!(
        fixture.connections() > before,
        "the connections are counted"
    );
    expect_idle(&mut waiting);
    drop(unpolled);
    drop(waiting);
    closes_all_but(before, &*fixture).await;
}

async fn closes_all_but(before: usize, fixture: &dyn Fixture) {
    let closed = || fixture.connections() == before;
    eventually("the connections are closed", closed).await;
}

/// "Dropping it releases the connection" while the stream tries to connect again.
pub(crate) async fn dropping_a_stream_that_is_cut_off_leaves_nothing(fixture: Arc<dyn Fixture>) {
    let before = fixture.connections();
    let mut stream = subscribe(&*fixture.backend()).await;
    fixture.cut();
    // The drop then comes somewhere in the middle of an attempt.
    for _ in 0..20 {
        expect_idle(&mut stream);
        pause().await;
    }
    drop(stream);
    fixture.heal();
    let mut fence = subscribe(&*fixture.backend()).await;
    run(&*fixture.producer(), "fence").await;
    expect(&mut fence, "fence").await;
    drop(fence);
    closes_all_but(before, &*fixture).await;
}
