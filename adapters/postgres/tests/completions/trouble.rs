//! What a listener says where the store does not let it work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, select};
use midplane::completions::{Listener, ListenerSettings};
use midplane_completions::{BackendErrorKind, ListenerNotice, ListenerPart};
use midplane_completions_suite::script::{Done, run};
use midplane_postgres::PostgresStore;
use midplane_testkit::eventually;

use crate::test_store::{TestStore, prompt, store};

type Notices = Arc<Mutex<Vec<ListenerNotice>>>;

/// Runs a listener on the store beside the script, which gets its notices.
async fn beside<F: Future<Output = ()>>(store: &PostgresStore, script: impl FnOnce(Notices) -> F) {
    let notices = Notices::default();
    let told = Arc::clone(&notices);
    let backend = Arc::new(store.backend().with_pace(prompt()));
    let timer = Arc::new(midplane::threads::Timer::new());
    let listener = Listener::new(backend, Arc::new(store.clone()), Arc::new(Done), timer);
    let mut settings = ListenerSettings::default();
    settings.interval = Duration::from_millis(100);
    let listener = listener.with_settings(settings);
    let listener = listener.with_observer(move |notice| {
        told.lock().expect("no panic").push(notice.clone());
    });
    let (_handle, running) = listener.start();
    let Either::Right(_) = select(running, Box::pin(script(notices))).await else {
        panic!("the listener ended");
    };
}

/// Whether the part is said not to work for this kind of reason, with this in the text; once.
fn is_told(notices: &Notices, part: ListenerPart, wanted: BackendErrorKind, says: &str) -> bool {
    let notices = notices.lock().expect("no panic");
    let told = notices.iter().filter(|notice| {
        matches!(notice, ListenerNotice::Trouble { part: of, kind, text }
            if *of == part && *kind == wanted && text.contains(says))
    });
    let count = told.count();
    assert!(count < 2, "{notices:?}");
    count == 1
}

fn is_over(notices: &Notices, part: ListenerPart) -> bool {
    let notices = notices.lock().expect("no panic");
    notices.contains(&ListenerNotice::Recovered { part })
}

#[test]
fn a_schema_that_is_missing_is_told_and_so_is_its_coming() {
    smol::block_on(async {
        let test = TestStore::start();
        let late = store(&test.server().url(), &format!("{}-late", test.schema));
        beside(&late, async |notices| {
            let missing = BackendErrorKind::NotInstalled;
            for part in [ListenerPart::Stream, ListenerPart::Take] {
                eventually("it is told", || is_told(&notices, part, missing, "")).await;
            }
            late.migrate().await.expect("it migrates");
            for part in [ListenerPart::Stream, ListenerPart::Take] {
                eventually("it is over", || is_over(&notices, part)).await;
            }
        })
        .await;
    });
}

#[test]
fn rights_that_are_taken_away_are_told_and_so_is_their_return() {
    smol::block_on(async {
        let test = TestStore::start();
        let user = format!("{}-eve", test.schema);
        let grant = format!(
            "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA \"{}\" TO \"{user}\"",
            test.schema
        );
        let set_up = format!(
            "CREATE ROLE \"{user}\" LOGIN PASSWORD 'hunter2'; \
             GRANT USAGE ON SCHEMA \"{0}\" TO \"{user}\"; \
             GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA \"{0}\" TO \"{user}\"; {grant}",
            test.schema
        );
        test.sql(&set_up).await;
        let address = test.server().address();
        let url = format!("postgres://{user}:hunter2@{address}/postgres");
        let limited = store(&url, &test.schema);
        beside(&limited, async |notices| {
            run(&test.store(), "before").await;
            let revoke = format!("REVOKE SELECT, UPDATE ON midplane.executions FROM \"{user}\"");
            test.sql(&revoke).await;
            let (part, denied) = (ListenerPart::Take, BackendErrorKind::Denied);
            let says = "permission denied";
            eventually("it is told", || is_told(&notices, part, denied, says)).await;
            test.sql(&grant).await;
            eventually("it is over", || is_over(&notices, part)).await;
        })
        .await;
    });
}
