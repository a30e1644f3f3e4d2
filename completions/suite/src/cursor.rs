//! Resuming.

use std::sync::Arc;

use midplane::completions::{
    Cursor, CursorError, Execution, Filter, Outcome, StreamItem, SubscribeError, Tag,
};

use super::Fixture;
use super::listener::{Listener, Work, execution};
use midplane_testkit::within;

/// Whether the store resumes at all. One that does not must say so.
async fn resumes(fixture: &Arc<dyn Fixture>) -> bool {
    let backend = fixture.backend();
    if backend.capabilities().resumes() {
        return true;
    }
    let cursor = Cursor::new("nobody", 0, 0, b"");
    let error = within(
        "subscribing",
        backend.subscribe_from(&cursor, &Filter::all()),
    )
    .await
    .expect_err("there is nothing to resume");
    assert!(matches!(error, SubscribeError::NotDurable), "{error:?}");
    false
}

async fn refused(fixture: &Arc<dyn Fixture>, cursor: &Cursor) -> CursorError {
    let backend = fixture.backend();
    match within(
        "subscribing",
        backend.subscribe_from(cursor, &Filter::all()),
    )
    .await
    {
        Err(SubscribeError::Cursor(error)) => error,
        other => panic!("the cursor should be refused, not {other:?}"),
    }
}

/// "Resuming yields strictly later events."
pub(crate) async fn resuming_yields_strictly_later_completions(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let ids: Vec<_> = (0..20).map(|number| format!("job {number}")).collect();
    let mut listener = Listener::new(&fixture).await;
    let work = Work::new(&fixture);
    work.run_all(&ids).await;
    let mut cursors = Vec::new();
    for id in &ids {
        cursors.push(listener.hears(id).await.cursor.expect("a cursor"));
    }
    drop(listener);
    for (at, cursor) in cursors.iter().enumerate() {
        // Across a restart of the listener it is text that is kept.
        let kept: Cursor = cursor.to_string().parse().expect("a cursor");
        assert_eq!(kept, *cursor);
        let mut resumed = Listener::from(&fixture, &kept, &Filter::all()).await;
        let fence = format!("fence {at}");
        work.run(&fence).await;
        for id in &ids[at + 1..] {
            resumed.hears(id).await;
        }
        for before in 0..=at {
            resumed.hears(format!("fence {before}")).await;
        }
    }
}

/// A place is behind what the filter left out.
pub(crate) async fn resuming_passes_what_the_filter_leaves_out(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await || !fixture.backend().capabilities().filters() {
        return;
    }
    let work = Work::new(&fixture);
    let filter = Filter::all().with_tag(Tag::new("wanted").expect("an id"));
    let tagged =
        |id: &str| Execution::new(execution(id)).with_tag(Tag::new("wanted").expect("an id"));
    let mut listener = Listener::filtered(&fixture, &filter).await;
    for id in ["first", "second"] {
        work.start(&tagged(id)).await;
    }
    work.finish("first", &Outcome::Success, None).await;
    let cursor = listener.hears("first").await.cursor.expect("a cursor");
    work.run_all((0..600).map(|number| format!("unwanted {number}")))
        .await;
    work.finish("second", &Outcome::Success, None).await;
    listener.hears("second").await;
    let mut resumed = Listener::from(&fixture, &cursor, &filter).await;
    resumed.hears("second").await;
}

/// "Foreign is a clear error": of another backend, and of another store of this one.
pub(crate) async fn a_foreign_cursor_is_refused(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let mut listener = Listener::new(&fixture).await;
    Work::new(&fixture).run("job").await;
    let cursor = listener.hears("job").await.cursor.expect("a cursor");
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
    let mut listener = Listener::new(&fixture).await;
    Work::new(&fixture).run("job").await;
    let cursor = listener.hears("job").await.cursor.expect("a cursor");
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
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    work.run_all(["a", "b", "c"]).await;
    let early = listener.hears("a").await.cursor.expect("a cursor");
    listener.hears("b").await;
    let last = listener.hears("c").await.cursor.expect("a cursor");
    fixture.expire_history().await;
    assert_eq!(refused(&fixture, &early).await, CursorError::Expired);
    // Nothing is missing behind the last one.
    let mut resumed = Listener::from(&fixture, &last, &Filter::all()).await;
    work.run("d").await;
    resumed.hears("d").await;
    assert_eq!(refused(&fixture, &early).await, CursorError::Expired);
}

/// "Trimming is seen as expired, not as silence", also by a stream that is open.
pub(crate) async fn a_stream_whose_place_expired_says_so_and_goes_on(fixture: Arc<dyn Fixture>) {
    if !resumes(&fixture).await {
        return;
    }
    let work = Work::new(&fixture);
    let mut listener = Listener::new(&fixture).await;
    work.run("a").await;
    listener.hears("a").await;
    work.run_all(["b", "c", "d"]).await;
    fixture.expire_history().await;
    work.run("e").await;
    let mut told = false;
    for id in ["b", "c", "d", "e"] {
        loop {
            match listener.next().await {
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
                    assert_eq!(
                        completion.execution.as_str(),
                        id,
                        "nothing is skipped untold"
                    );
                    break;
                }
                item => panic!("the next item should be a notice, not {item:?}"),
            }
        }
    }
}
