//! Producers: starting and finishing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midplane::completions::{Change, Execution, Filter, Outcome, ProduceError};
use midplane_testkit::within;

use crate::fixture::Fixture;
use crate::script::{begin, execution, expect, finish, handle, run, subscribe, subscribe_from};

/// "Each producer call is idempotent."
pub(crate) async fn every_call_may_be_repeated(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    for (outcome, bytes) in
        Outcome::KNOWN
            .iter()
            .zip([None, Some(Bytes::new()), Some("x".into()), None, None])
    {
        let job = execution(outcome.as_str());
        begin(&*producer, &job).await;
        let again = within("starting", producer.start(&Execution::new(job.clone()))).await;
        assert_eq!(again.expect("it started"), Change::AlreadySo);
        finish(&*producer, &job, outcome, bytes.clone()).await;
        for _ in 0..3 {
            let again = within("finishing", producer.finish(&job, outcome, bytes.clone())).await;
            assert_eq!(again.expect("it finished"), Change::AlreadySo);
        }
        expect(&mut stream, &job).await;
    }
    // The calls by name say the same.
    let producer = &*producer;
    let named = [
        within("completing", producer.complete(&execution("success"), None)).await,
        within(
            "failing",
            producer.fail(&execution("failure"), Some(Bytes::new())),
        )
        .await,
        within(
            "cancelling",
            producer.cancel(&execution("cancelled"), Some("x".into())),
        )
        .await,
        within("expiring", producer.expire(&execution("expired"), None)).await,
        within("skipping", producer.skip(&execution("skipped"), None)).await,
    ];
    for change in named {
        assert_eq!(change.expect("it finished"), Change::AlreadySo);
    }
    run(producer, "fence").await;
    expect(&mut stream, "fence").await;
}

/// "Refuses an illegal transition with a clear error."
pub(crate) async fn an_illegal_transition_is_refused_and_changes_nothing(
    fixture: Arc<dyn Fixture>,
) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    let unknown = execution("unknown");
    let error = within(
        "finishing",
        producer.finish(&unknown, &Outcome::Success, None),
    )
    .await
    .expect_err("it was never started");
    assert!(
        matches!(&error, ProduceError::Unknown(id) if *id == unknown),
        "{error:?}"
    );
    assert!(error.to_string().contains("unknown"), "{error}");
    begin(&*producer, "odd").await;
    let error = within(
        "finishing",
        producer.finish(&execution("odd"), &Outcome::from("odd"), None),
    )
    .await
    .expect_err("no producer knows this outcome");
    assert!(matches!(error, ProduceError::Unfit(_)), "{error:?}");
    for first in &Outcome::KNOWN {
        let job = execution(first.as_str());
        begin(&*producer, &job).await;
        finish(&*producer, &job, first, None).await;
        expect(&mut stream, &job).await;
        let refused = |result: Result<Change, ProduceError>, text: &str| {
            let error = result.expect_err("it finished already");
            let is = matches!(&error, ProduceError::Illegal { execution, finished, asked }
                if *execution == job && finished == first && asked == text);
            assert!(is, "{error:?}");
            assert!(error.to_string().contains(first.as_str()), "{error}");
        };
        let start = within("starting", producer.start(&Execution::new(job.clone()))).await;
        refused(start, "started");
        for second in &Outcome::KNOWN {
            for bytes in [None, Some(Bytes::from_static(b"other"))] {
                if second == first && bytes.is_none() {
                    continue;
                }
                let finish = within("finishing", producer.finish(&job, second, bytes)).await;
                refused(finish, second.as_str());
            }
        }
    }
    run(&*producer, "fence").await;
    expect(&mut stream, "fence").await;
}

/// "A repeated finish never completes an execution a second time": while the store knows the execution the call finds its work
/// done, and once retention has forgotten it, which takes that it was handled, the call is refused.
pub(crate) async fn a_repeated_finish_never_completes_twice(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    run(&*producer, "handled").await;
    run(&*producer, "left").await;
    handle(&*fixture.ledger(), &["handled"]).await;
    let mut stream = subscribe(&*fixture.backend()).await;
    fixture.expire_history().await;
    let again = async |id: &str| {
        let id = execution(id);
        within("finishing", producer.finish(&id, &Outcome::Success, None)).await
    };
    let left = again("left")
        .await
        .expect("it is known until it is handled");
    assert_eq!(left, Change::AlreadySo);
    match again("handled").await {
        Ok(change) => assert_eq!(change, Change::AlreadySo),
        Err(ProduceError::Unknown(id)) => assert_eq!(id, execution("handled")),
        Err(error) => panic!("it is known or not, and {error}"),
    }
    run(&*producer, "fence").await;
    expect(&mut stream, "fence").await;
}

/// "A finish can be repeated for at least the age": a younger one finds its work done, and its cursor stays; an older one that
/// is handled is refused, and its id is that of another execution from then on.
pub(crate) async fn a_finish_can_be_repeated_for_the_age_that_is_kept(fixture: Arc<dyn Fixture>) {
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*producer, "handled").await;
    run(&*producer, "left").await;
    let first = expect(&mut stream, "handled").await;
    expect(&mut stream, "left").await;
    handle(&*fixture.ledger(), &["handled"]).await;
    let again = async |id: &str| {
        let id = execution(id);
        within("finishing", producer.finish(&id, &Outcome::Success, None)).await
    };
    fixture.prune(Duration::from_secs(3_600)).await;
    for id in ["handled", "left"] {
        assert_eq!(again(id).await.expect("it is young"), Change::AlreadySo);
    }
    if let Some(cursor) = first.cursor {
        let mut resumed = subscribe_from(&*fixture.backend(), &cursor, &Filter::all()).await;
        expect(&mut resumed, "left").await;
    }
    fixture.prune(Duration::ZERO).await;
    let left = again("left")
        .await
        .expect("it is known until it is handled");
    assert_eq!(left, Change::AlreadySo);
    let error = again("handled").await.expect_err("it is forgotten");
    assert!(
        matches!(&error, ProduceError::Unknown(id) if *id == execution("handled")),
        "{error:?}"
    );
    let started = within(
        "starting",
        producer.start(&Execution::new(execution("handled"))),
    )
    .await;
    assert_eq!(started.expect("it is another one"), Change::Made);
    run(&*producer, "fence").await;
    expect(&mut stream, "fence").await;
}
