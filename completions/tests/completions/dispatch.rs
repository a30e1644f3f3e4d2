//! From the stream to the handler.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use midplane::completions::{Drained, Ledger, ListenerSettings, Scan, Take};

use crate::kit::{
    Behaviour, PlainBackend, RecordingHandler, SECOND, assert_handled, finish_all, ids, listen,
    listen_to, produce, store, stream_alone,
};
use midplane_testkit::local::LocalTasks;

#[test]
fn promise_9_so_many_handlers_run_at_once_and_no_more() {
    for concurrency in [1, 7, 32] {
        let mut tasks = LocalTasks::new();
        let store = store(&tasks);
        let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(SECOND));
        let mut settings = stream_alone();
        settings.concurrency = concurrency;
        settings.queue = 40;
        let handle = listen(&tasks, &store, &handler, settings);
        tasks.pass(Duration::ZERO);
        tasks.run(async move { finish_all(&store, ids("", 100)).await });
        tasks.pass(SECOND * 200);
        assert_handled(&handler, ids("", 100), 1);
        assert_eq!(handler.log.lock().unwrap().most, concurrency);
        assert_eq!(handle.counters().done, 100);
    }
}

#[test]
fn promise_9_a_flow_is_handled_in_order_one_at_a_time_and_others_do_not_wait() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, _| match id.starts_with("slow") {
        true => Behaviour::Work(SECOND * 10),
        false => Behaviour::Work(Duration::from_millis(1)),
    });
    let _handle = listen(&tasks, &store, &handler, stream_alone());
    tasks.pass(Duration::ZERO);
    let mut all: Vec<String> = ids("slow:", 5).collect();
    for flow in 0..10 {
        all.extend((0..20).map(|number| format!("flow {flow}:{number}")));
    }
    let produced = all.clone();
    tasks.run(async move { finish_all(&store, produced).await });
    tasks.pass(SECOND);
    let first_slow_and_all_others = 1 + 200;
    assert_eq!(handler.order().len(), first_slow_and_all_others);
    tasks.pass(SECOND * 100);
    assert_handled(&handler, all.clone(), 1);
    let log = handler.log.lock().unwrap();
    for flow in all.iter().map(|id| id.split_once(':').unwrap().0) {
        let steps: Vec<_> = log
            .steps
            .iter()
            .filter(|(.., id)| id.split_once(':').unwrap().0 == flow)
            .collect();
        let expected = all
            .iter()
            .filter(|id| id.split_once(':').unwrap().0 == flow);
        let expected: Vec<_> = expected.flat_map(|id| [(true, id), (false, id)]).collect();
        let found: Vec<_> = steps.iter().map(|(_, begin, id)| (*begin, id)).collect();
        assert_eq!(found, expected, "{flow}");
    }
}

#[test]
fn promise_9_a_panic_is_counted_and_the_loop_lives() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler =
        RecordingHandler::new(&tasks, |id, calls| match id.ends_with('3') && calls == 0 {
            true => Behaviour::Panic,
            false => Behaviour::Work(Duration::ZERO),
        });
    let handle = listen(&tasks, &store, &handler, ListenerSettings::default());
    tasks.pass(Duration::ZERO);
    tasks.run(async move { finish_all(&store, ids("", 50)).await });
    tasks.pass(SECOND * 2);
    assert_handled(&handler, ids("", 50), 1);
    assert_eq!(handle.counters().panicked, 5);
}

#[test]
fn promise_9_what_fails_is_tried_again_after_growing_pauses_and_holds_nobody_up() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, _| match id {
        "bad" => Behaviour::Fail,
        _ => Behaviour::Work(Duration::ZERO),
    });
    let settings = ListenerSettings::default();
    let handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(Duration::ZERO);
    tasks.run(async move {
        finish_all(&store, ["bad".into()]).await;
        finish_all(&store, ids("", 20)).await;
    });
    tasks.pass(SECOND * 10_000);
    assert_handled(&handler, ids("", 20), 1);
    let calls = handler.calls("bad");
    assert_eq!(handle.counters().failed, calls.len() as u64);
    // Full jitter up to 300 s: one in 150 s on average, once the pauses have grown.
    assert!((40..160).contains(&calls.len()), "{} calls", calls.len());
    let pauses: Vec<_> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (failures, pause) in pauses.iter().enumerate() {
        let bound = SECOND * 2_u32.pow(failures.min(9) as u32).min(300);
        assert!(*pause <= bound, "{pause:?} after {failures}");
    }
    assert!(pauses.iter().any(|pause| *pause > SECOND * 200));
}

#[test]
fn promise_9_a_handler_that_hangs_is_dropped_when_it_took_too_long() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, calls| {
        match id.starts_with("stuck") && calls == 0 {
            true => Behaviour::Hang,
            false => Behaviour::Work(Duration::ZERO),
        }
    });
    let mut settings = ListenerSettings::default();
    settings.concurrency = 4;
    let handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(Duration::ZERO);
    tasks.run(async move {
        finish_all(&store, ids("stuck", 4)).await;
        finish_all(&store, ids("", 20)).await;
    });
    tasks.pass(SECOND);
    assert_eq!(handle.counters().done, 0, "every place is taken");
    tasks.pass(settings.patience * 4);
    assert!(handle.counters().late >= 4);
    assert_handled(&handler, ids("stuck", 4).chain(ids("", 20)), 1);
}

#[test]
fn promise_9_a_dead_letter_says_how_its_last_attempt_ended() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    // All fail at first, in one way.
    let handler = RecordingHandler::new(&tasks, |id, calls| match (id, calls) {
        (_, 0) | ("fails", _) => Behaviour::Fail,
        ("panics", _) => Behaviour::Panic,
        ("hangs", _) => Behaviour::Hang,
        _ => Behaviour::Work(Duration::ZERO),
    });
    let mut settings = ListenerSettings::default();
    settings.attempts = Some(2);
    let handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(Duration::ZERO);
    produce(
        &mut tasks,
        &store,
        ["fails", "panics", "hangs", "works"]
            .map(String::from)
            .into_iter(),
    );
    tasks.pass(SECOND * 100);
    assert_eq!((handle.counters().dead, handle.counters().done), (3, 1));
    let page = tasks.run(async move { store.scan(&Scan::dead(10)).await.unwrap() });
    let errors = page.errors.iter();
    let errors: Vec<_> = errors
        .map(|(id, error)| (id.as_str(), error.as_str()))
        .collect();
    let expected = [
        ("fails", "it was to fail"),
        ("panics", "the handler panicked"),
        ("hangs", "the handler took longer than 60s"),
    ];
    assert_eq!(errors, expected);
}

#[test]
fn promise_9_what_comes_again_is_not_handled_again() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(Duration::from_millis(1)));
    let backend = PlainBackend::mapping(&store, |stream| {
        stream.flat_map(|item| stream::iter([item.clone(), item.clone(), item]))
    });
    let handle = listen_to(&tasks, backend, &store, &handler, stream_alone());
    tasks.pass(Duration::ZERO);
    tasks.run(async move { finish_all(&store, ids("", 100)).await });
    tasks.pass(SECOND);
    assert_handled(&handler, ids("", 100), 1);
    let counters = handle.counters();
    assert_eq!((counters.streamed, counters.taken), (300, 100));
}

#[test]
fn promise_9_of_several_listeners_one_handles_each_completion() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |_, _| Behaviour::Work(Duration::from_millis(1)));
    let handles: Vec<_> = (0..3)
        .map(|_| listen(&tasks, &store, &handler, ListenerSettings::default()))
        .collect();
    tasks.pass(Duration::ZERO);
    tasks.run(async move { finish_all(&store, ids("", 300)).await });
    tasks.pass(SECOND * 100);
    assert_handled(&handler, ids("", 300), 1);
    let done: u64 = handles.iter().map(|handle| handle.counters().done).sum();
    assert_eq!(done, 300);
}

#[test]
fn promise_10_closing_waits_for_what_runs_and_gives_back_what_does_not() {
    let mut tasks = LocalTasks::new();
    let store = store(&tasks);
    let handler = RecordingHandler::new(&tasks, |id, _| match id {
        "0" | "1" => Behaviour::Work(SECOND),
        "2" => Behaviour::Hang,
        _ => Behaviour::Work(Duration::ZERO),
    });
    let mut settings = stream_alone();
    settings.concurrency = 3;
    let handle = listen(&tasks, &store, &handler, settings);
    tasks.pass(Duration::ZERO);
    produce(&mut tasks, &store, ids("", 10));
    tasks.pass(Duration::from_millis(1));
    let late = store.clone();
    let drained = tasks.run(async move {
        let (drained, ()) = futures::join!(
            handle.close(SECOND * 5),
            // Nothing is taken in any more.
            finish_all(&late, ["late".into()])
        );
        assert!(handle.reconcile().await.is_none(), "it is over");
        assert!(handle.close(SECOND).await.is_none(), "it is over");
        drained
    });
    let mut expected = Drained::default();
    expected.finished = 2;
    expected.abandoned = 1;
    expected.returned = 7;
    assert_eq!(drained, Some(expected));
    assert_handled(&handler, ids("", 2), 1);
    let taken = tasks.run(async move { store.take(&Take::new(100), SECOND).await.unwrap() });
    // What was given back can be taken; what was abandoned waits for its lease, and what is done is done.
    let taken: Vec<_> = taken
        .work
        .iter()
        .map(|(completion, _)| completion.execution.as_str())
        .collect();
    assert_eq!(taken, ["3", "4", "5", "6", "7", "8", "9", "late"]);
}
