//! What becomes of a subscription when its connection ends.

use std::sync::Arc;

use midplane::completions::{BackendErrorKind, CompletionBackend, SubscribeError};

use super::Fixture;
use super::listener::{Listener, Work};
use midplane_testkit::wait::pause;
use midplane_testkit::{eventually, within};

/// "Later faults are handled inside, and the stream goes on until dropped"; "`Resync`, emitted after the
/// resubscription is confirmed".
pub(crate) async fn a_stream_outlives_a_cut(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    for round in 0..3 {
        let (before, meanwhile, after) = (
            format!("before {round}"),
            format!("meanwhile {round}"),
            format!("after {round}"),
        );
        work.run(&before).await;
        listener.hears(&before).await;
        fixture.cut();
        work.run(&meanwhile).await;
        // Also a stream that was polled while it could not connect.
        listener.idles();
        fixture.heal();
        let heard = listener.resyncs().await;
        if fixture.backend().capabilities().resumes() {
            assert_eq!(heard.execution.as_str(), meanwhile);
        }
        work.run(&after).await;
        listener.hears(&after).await;
    }
}

/// A subscription that never saw a completion has a place too.
pub(crate) async fn a_cut_before_anything_arrived_loses_nothing(fixture: Arc<dyn Fixture>) {
    if !fixture.backend().capabilities().resumes() {
        return;
    }
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    fixture.cut();
    work.run_all(["a", "b"]).await;
    fixture.heal();
    assert_eq!(listener.resyncs().await.execution.as_str(), "a");
    listener.hears("b").await;
}

async fn refusal(backend: &Arc<dyn CompletionBackend>) -> (BackendErrorKind, String) {
    let error = within("subscribing", backend.subscribe_completions())
        .await
        .expect_err("there is nothing to subscribe to");
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
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
    let mut listener = Listener::new(&fixture).await;
    Work::new(&fixture).run("healed").await;
    listener.hears("healed").await;
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
    let unpolled = Listener::new(&fixture).await;
    let mut waiting = Listener::new(&fixture).await;
    assert!(
        fixture.connections() > before,
        "the connections are counted"
    );
    waiting.idles();
    drop(unpolled);
    drop(waiting);
    eventually("the connections are closed", || {
        fixture.connections() == before
    })
    .await;
}

/// The same while it tries to connect again.
pub(crate) async fn dropping_a_stream_that_is_cut_off_leaves_nothing(fixture: Arc<dyn Fixture>) {
    let before = fixture.connections();
    let mut listener = Listener::new(&fixture).await;
    fixture.cut();
    // So that it is in the middle of it, somewhere.
    for _ in 0..20 {
        listener.idles();
        pause().await;
    }
    drop(listener);
    fixture.heal();
    let mut fence = Listener::new(&fixture).await;
    Work::new(&fixture).run("fence").await;
    fence.hears("fence").await;
    drop(fence);
    eventually("the connections are closed", || {
        fixture.connections() == before
    })
    .await;
}
