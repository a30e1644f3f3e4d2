//! The completions that arrive.

use std::sync::Arc;

use bytes::Bytes;
use midplane::completions::{Execution, FlowId, Namespace, Outcome, StreamItem, Tag, Timestamp};

use crate::fixture::Fixture;
use crate::script::{
    begin, complete, execution, expect, finish, next_item, run, run_all, start, subscribe,
};

/// "Live when the call returns: every completion committed after that is yielded."
pub(crate) async fn a_subscription_is_live_when_the_call_returns(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    for round in 0..20 {
        let id = format!("job {round}");
        begin(&*producer, &id).await;
        let mut stream = subscribe(&*fixture.backend()).await;
        complete(&*producer, &id).await;
        expect(&mut stream, &id).await;
    }
}

/// "Execution id, typed outcome, optional bytes, produced-at, optional flow id, cursor."
pub(crate) async fn every_outcome_arrives_as_it_was_produced(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
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
        start(&*producer, &started).await;
        finish(&*producer, &odd, outcome, bytes.clone()).await;
        let arrived = expect(&mut stream, &odd).await;
        assert_eq!(arrived.outcome, *outcome, "the outcome");
        assert_eq!(arrived.bytes, bytes, "the bytes");
        assert_eq!(arrived.flow, started.flow, "the flow");
        assert_eq!(arrived.namespace, started.namespace, "the namespace");
        assert_eq!(arrived.tag, started.tag, "the tag");
        assert!(arrived.produced_at >= latest, "time goes on");
        latest = arrived.produced_at;
        let resumes = fixture.backend().capabilities().resumes();
        assert_eq!(arrived.cursor.is_some(), resumes, "the cursor");
    }
    assert!(latest > Timestamp::default(), "the time of production");
    run(&*producer, "plain").await;
    let arrived = expect(&mut stream, "plain").await;
    assert_eq!(
        (arrived.flow, arrived.namespace, arrived.tag),
        (None, None, None)
    );
}

/// "In the order of the store."
pub(crate) async fn completions_of_one_producer_keep_their_order(fixture: Arc<dyn Fixture>) {
    let mut stream = subscribe(&*fixture.backend()).await;
    let ids: Vec<_> = (0..300).map(|number| format!("job {number}")).collect();
    run_all(&*fixture.producer(), &ids).await;
    for id in &ids {
        expect(&mut stream, id).await;
    }
}

/// "One that is not polled holds no more than a page, and the backend's history is what waits for it."
pub(crate) async fn an_unread_stream_misses_nothing(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*producer, "first").await;
    expect(&mut stream, "first").await;
    let ids: Vec<_> = (0..1_000).map(|number| format!("job {number}")).collect();
    run_all(&*producer, &ids).await;
    for id in &ids {
        expect(&mut stream, id).await;
    }
}

/// "Independent stream per call."
pub(crate) async fn each_subscription_is_independent(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut reading = subscribe(&*fixture.backend()).await;
    let mut late = subscribe(&*fixture.backend()).await;
    let dropped = subscribe(&*fixture.backend()).await;
    run_all(&*producer, ["a", "b"]).await;
    for id in ["a", "b"] {
        expect(&mut reading, id).await;
    }
    drop(dropped);
    run(&*producer, "c").await;
    expect(&mut reading, "c").await;
    for id in ["a", "b", "c"] {
        expect(&mut late, id).await;
    }
}

/// "Poison rows are surfaced and passed."
pub(crate) async fn a_poison_record_is_surfaced_and_passed(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*producer, "before").await;
    fixture.poison().await;
    run(&*producer, "after").await;
    expect(&mut stream, "before").await;
    match next_item(&mut stream).await {
        StreamItem::Poison(poison) => assert!(!poison.reason.is_empty(), "a reason"),
        item => panic!("the poison should be surfaced, not {item:?}"),
    }
    expect(&mut stream, "after").await;
}
