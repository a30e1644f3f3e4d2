//! Cursors: what resumes, and what is refused.

use std::sync::Arc;

use midplane::completions::{
    Cursor, CursorError, Execution, Filter, StreamItem, SubscribeError, Tag,
};
use midplane_testkit::within;

use crate::fixture::Fixture;
use crate::script::{
    complete, execution, expect, next_item, run, run_all, start, subscribe, subscribe_filtered,
    subscribe_from,
};

/// Whether the store resumes at all. One that does not must say so.
async fn resumes(fixture: &Arc<dyn Fixture>) -> bool {
    let backend = fixture.backend();
    if backend.capabilities().resumes() {
        return true;
    }
    let error = refusal(fixture, &Cursor::new("nobody", 0, 0, b"")).await;
    assert!(matches!(error, SubscribeError::NotDurable), "{error:?}");
    false
}

async fn refusal(fixture: &Arc<dyn Fixture>, cursor: &Cursor) -> SubscribeError {
    let (backend, everything) = (fixture.backend(), Filter::all());
    let resumed = within("subscribing", backend.subscribe_from(cursor, &everything)).await;
    resumed.expect_err("the cursor should be refused")
}

async fn refused(fixture: &Arc<dyn Fixture>, cursor: &Cursor) -> CursorError {
    match refusal(fixture, cursor).await {
        SubscribeError::Cursor(error) => error,
        other => panic!("the cursor should be refused, not {other:?}"),
    }
}

/// The cursor of the first completion of the store.
async fn first_cursor(fixture: &Arc<dyn Fixture>) -> Cursor {
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*fixture.producer(), "job").await;
    expect(&mut stream, "job").await.cursor.expect("a cursor")
}

/// "Resuming yields strictly later events."
pub(crate) async fn resuming_yields_strictly_later_completions(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let ids: Vec<_> = (0..20).map(|number| format!("job {number}")).collect();
    let mut stream = subscribe(&*fixture.backend()).await;
    let producer = fixture.producer();
    run_all(&*producer, &ids).await;
    let mut cursors = Vec::new();
    for id in &ids {
        cursors.push(expect(&mut stream, id).await.cursor.expect("a cursor"));
    }
    drop(stream);
    for (at, cursor) in cursors.iter().enumerate() {
        // Across a restart of the stream it is text that is kept.
        let kept: Cursor = cursor.to_string().parse().expect("a cursor");
        assert_eq!(kept, *cursor);
        let mut resumed = subscribe_from(&*fixture.backend(), &kept, &Filter::all()).await;
        let fence = format!("fence {at}");
        run(&*producer, &fence).await;
        for id in &ids[at + 1..] {
            expect(&mut resumed, id).await;
        }
        for before in 0..=at {
            expect(&mut resumed, format!("fence {before}")).await;
        }
    }
}

/// A place is behind what the filter left out.
pub(crate) async fn resuming_passes_what_the_filter_leaves_out(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await || !fixture.backend().capabilities().filters() {
        return;
    }
    let producer = fixture.producer();
    let tag = Tag::new("wanted").expect("an id");
    let filter = Filter::all().with_tag(tag.clone());
    let mut stream = subscribe_filtered(&*fixture.backend(), &filter).await;
    for id in ["first", "second"] {
        let tagged = Execution::new(execution(id)).with_tag(tag.clone());
        start(&*producer, &tagged).await;
    }
    complete(&*producer, "first").await;
    let cursor = expect(&mut stream, "first").await.cursor.expect("a cursor");
    let unwanted = (0..600).map(|number| format!("unwanted {number}"));
    run_all(&*producer, unwanted).await;
    complete(&*producer, "second").await;
    expect(&mut stream, "second").await;
    let mut resumed = subscribe_from(&*fixture.backend(), &cursor, &filter).await;
    expect(&mut resumed, "second").await;
}

/// "Foreign is a clear error": of another backend, and of another store of this one.
pub(crate) async fn a_foreign_cursor_is_refused(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let cursor = first_cursor(&fixture).await;
    let text = cursor.to_string();
    let parts: Vec<_> = text.split('.').collect();
    let another_store = match parts[1] {
        "1" => "2",
        _ => "1",
    };
    for foreign in [
        format!("another.{}.{}.{}", parts[1], parts[2], parts[3]),
        format!("{}.{another_store}.{}.{}", parts[0], parts[2], parts[3]),
    ] {
        let error = refused(&fixture, &foreign.parse().expect("a cursor")).await;
        assert!(
            matches!(error, CursorError::Foreign { .. }),
            "{foreign}: {error}"
        );
        assert!(error.to_string().contains(cursor.backend()), "{error}");
    }
}

/// "Malformed is a clear error": of a version to come, and with a position that is none.
pub(crate) async fn a_malformed_cursor_is_refused(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let cursor = first_cursor(&fixture).await;
    let text = cursor.to_string();
    let parts: Vec<_> = text.split('.').collect();
    for malformed in [
        format!("{}.{}.fe.{}", parts[0], parts[1], parts[3]),
        format!("{}.{}.{}.", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}.{}", parts[0], parts[1], parts[2], "ff".repeat(50)),
    ] {
        let error = refused(&fixture, &malformed.parse().expect("a cursor")).await;
        assert_eq!(error, CursorError::Malformed, "{malformed}");
    }
}

/// "Expired is a clear error", and not silence.
pub(crate) async fn an_expired_cursor_is_refused(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    run_all(&*producer, ["a", "b", "c"]).await;
    let early = expect(&mut stream, "a").await.cursor.expect("a cursor");
    expect(&mut stream, "b").await;
    let last = expect(&mut stream, "c").await.cursor.expect("a cursor");
    fixture.expire_history().await;
    assert_eq!(refused(&fixture, &early).await, CursorError::Expired);
    // Nothing is missing behind the last one.
    let mut resumed = subscribe_from(&*fixture.backend(), &last, &Filter::all()).await;
    run(&*producer, "d").await;
    expect(&mut resumed, "d").await;
    assert_eq!(refused(&fixture, &early).await, CursorError::Expired);
}

/// "Trimming is seen as expired, not as silence", also by a stream that is open.
pub(crate) async fn a_stream_whose_place_expired_says_so_and_goes_on(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let producer = fixture.producer();
    let mut stream = subscribe(&*fixture.backend()).await;
    run(&*producer, "a").await;
    expect(&mut stream, "a").await;
    run_all(&*producer, ["b", "c", "d"]).await;
    fixture.expire_history().await;
    run(&*producer, "e").await;
    let mut told = false;
    for id in ["b", "c", "d", "e"] {
        loop {
            match next_item(&mut stream).await {
                StreamItem::Lagged(missed) => {
                    assert!(missed >= 3, "{missed} were missed");
                    told = true;
                }
                StreamItem::Resync => told = true,
                StreamItem::Completion(completion) if told => {
                    assert_eq!(completion.execution.as_str(), "e");
                    return;
                }
                // What was held already when the history was forgotten.
                StreamItem::Completion(completion) => {
                    let arrived = completion.execution.as_str();
                    assert_eq!(arrived, id, "nothing is skipped untold");
                    break;
                }
                item => panic!("the next item should be a notice, not {item:?}"),
            }
        }
    }
}
