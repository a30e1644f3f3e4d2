//! What a listener says where the server does not let it work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, select};
use midplane::completions::{
    BackendErrorKind, Listener, ListenerNotice, ListenerPart, ListenerSettings,
};
use midplane_completions_suite::script::Done;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::{eventually, succeeds};

use crate::test_store::{prompt_backend, store};

/// The library is flushed, and the user of the listener may not load it.
#[test]
fn functions_that_are_missing_are_told_and_so_is_their_coming() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let admin = store(&server.url(), "jobs");
        succeeds("installing", admin.install()).await;
        let rules = [
            "ACL",
            "SETUSER",
            "jobs",
            "on",
            ">hunter2",
            "~*",
            "&*",
            "+@all",
            "-function|load",
        ];
        assert_eq!(server.redis_command(&rules), "+OK\r\n");
        let url = format!("redis://jobs:hunter2@{}", server.address());
        let limited = store(&url, "jobs");
        let notices: Arc<Mutex<Vec<ListenerNotice>>> = Arc::default();
        let told = Arc::clone(&notices);
        let backend = Arc::new(prompt_backend(&limited));
        let timer = Arc::new(midplane::threads::Timer::new());
        let listener = Listener::new(backend, Arc::new(limited), Arc::new(Done), timer);
        let mut settings = ListenerSettings::default();
        settings.interval = Duration::from_millis(100);
        let listener = listener.with_settings(settings);
        let listener = listener.with_observer(move |notice| {
            told.lock().expect("no panic").push(notice.clone());
        });
        let (handle, running) = listener.start();
        let taking = |wanted: fn(&ListenerNotice) -> bool| {
            let notices = notices.lock().expect("no panic");
            notices.iter().filter(|notice| wanted(notice)).count()
        };
        let script = async {
            eventually("it is subscribed", || handle.counters().subscribed == 1).await;
            assert_eq!(server.redis_command(&["FUNCTION", "FLUSH"]), "+OK\r\n");
            let is_trouble = |notice: &ListenerNotice| {
                matches!(notice, ListenerNotice::Trouble { part: ListenerPart::Take, kind, text }
                    if matches!(kind, BackendErrorKind::Denied | BackendErrorKind::NotInstalled)
                        && (text.contains("function|load") || text.contains("install")))
            };
            eventually("it is told", || taking(is_trouble) == 1).await;
            succeeds("installing", store(&server.url(), "jobs").install()).await;
            let part = ListenerPart::Take;
            let over = ListenerNotice::Recovered { part };
            let is_over = || notices.lock().expect("no panic").contains(&over);
            eventually("it is over", is_over).await;
            assert_eq!(taking(is_trouble), 1, "once");
        };
        let Either::Right(_) = select(running, Box::pin(script)).await else {
            panic!("the listener ended");
        };
    });
}
