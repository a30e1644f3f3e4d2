//! What arrives.

use std::sync::Arc;

use bytes::Bytes;
use midplane::completions::{Execution, FlowId, Namespace, Outcome, StreamItem, Tag, Timestamp};

use super::Fixture;
use super::listener::{Listener, Work, execution};

/// "Live when the call returns: every completion committed after that is yielded."
pub(crate) async fn a_subscription_is_live_when_the_call_returns(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    for round in 0..20 {
        let id = format!("job {round}");
        work.begin(&id).await;
        let mut listener = Listener::new(&fixture).await;
        work.finish(&id, &Outcome::Success, None).await;
        listener.hears(&id).await;
    }
}

/// "Execution id, typed outcome, optional bytes, produced-at, optional flow id, cursor."
pub(crate) async fn every_outcome_arrives_as_it_was_produced(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let payloads = [
        None,
        Some(Bytes::new()),
        Some(Bytes::from(every_byte)),
        Some(Bytes::from_static("šč'\"\\ \u{0}\r\n{}:*".as_bytes())),
        Some(Bytes::from(vec![b'x'; 100_000])),
    ];
    let mut latest = Timestamp::default();
    for (outcome, bytes) in Outcome::KNOWN.iter().zip(payloads) {
        // Nothing in an id has a meaning.
        let odd = format!("{outcome}:a/b\\c'd\"e {{}} *?[] é\u{1F9EA}\r\n,;$1");
        let started = Execution::new(execution(&odd))
            .with_flow(FlowId::new(format!("flow {odd}")).expect("an id"))
            .with_namespace(Namespace::new(format!("namespace {odd}")).expect("an id"))
            .with_tag(Tag::new(format!("tag {odd}")).expect("an id"));
        work.start(&started).await;
        work.finish(&odd, outcome, bytes.clone()).await;
        let heard = listener.hears(&odd).await;
        assert_eq!(heard.outcome, *outcome, "the outcome");
        assert_eq!(heard.bytes, bytes, "the bytes");
        assert_eq!(heard.flow, started.flow, "the flow");
        assert_eq!(heard.namespace, started.namespace, "the namespace");
        assert_eq!(heard.tag, started.tag, "the tag");
        assert!(heard.produced_at >= latest, "time goes on");
        latest = heard.produced_at;
        let resumes = fixture.backend().capabilities().resumes();
        assert_eq!(heard.cursor.is_some(), resumes, "the cursor");
    }
    assert!(latest > Timestamp::default(), "the time of production");
    work.run("plain").await;
    let heard = listener.hears("plain").await;
    assert_eq!((heard.flow, heard.namespace, heard.tag), (None, None, None));
}

/// "In the order of the store."
pub(crate) async fn completions_of_one_producer_keep_their_order(fixture: Arc<dyn Fixture>) {
    let mut listener = Listener::new(&fixture).await;
    let ids: Vec<_> = (0..300).map(|number| format!("job {number}")).collect();
    Work::new(&fixture).run_all(&ids).await;
    for id in &ids {
        listener.hears(id).await;
    }
}

/// "One that is not polled holds no more than a page, and the backend's history is what waits for it."
pub(crate) async fn an_unread_stream_misses_nothing(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    work.run("first").await;
    listener.hears("first").await;
    let ids: Vec<_> = (0..1_000).map(|number| format!("job {number}")).collect();
    work.run_all(&ids).await;
    for id in &ids {
        listener.hears(id).await;
    }
}

/// "Independent stream per call."
pub(crate) async fn each_subscription_is_independent(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    let mut reading = Listener::new(&fixture).await;
    let mut late = Listener::new(&fixture).await;
    let dropped = Listener::new(&fixture).await;
    work.run_all(["a", "b"]).await;
    for id in ["a", "b"] {
        reading.hears(id).await;
    }
    drop(dropped);
    work.run("c").await;
    reading.hears("c").await;
    for id in ["a", "b", "c"] {
        late.hears(id).await;
    }
}

/// "Poison rows are surfaced and passed."
pub(crate) async fn a_poison_record_is_surfaced_and_passed(fixture: Arc<dyn Fixture>) {
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    work.run("before").await;
    fixture.poison().await;
    work.run("after").await;
    listener.hears("before").await;
    match listener.next().await {
        StreamItem::Poison(poison) => assert!(!poison.reason.is_empty(), "a reason"),
        item => panic!("the poison should be surfaced, not {item:?}"),
    }
    listener.hears("after").await;
}
