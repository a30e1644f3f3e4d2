//! What finished before anybody listened.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join, join_all};
use futures::stream::{self, StreamExt};
use midplane::Std;
use midplane::completions::{Listener, ListenerCounters, ListenerHandle, ListenerSettings, Scan};
use midplane_testkit::{eventually, patience, succeeds};

use crate::fixture::Fixture;
use crate::script::{Done, run};

/// Executions of a backlog.
const BACKLOG: u64 = 600;

/// The most executions that a listener has waiting, so that a backlog is many looks.
const AT_ONCE: u64 = 50;

/// Executions that are finished at once.
const PRODUCED_AT_ONCE: usize = 16;

/// A listener that looks again only because a look found more.
fn listen(fixture: &dyn Fixture) -> (ListenerHandle<Std>, BoxFuture<'static, ()>) {
    let mut settings = ListenerSettings::default();
    settings.concurrency = AT_ONCE as usize;
    settings.queue = AT_ONCE as usize;
    settings.interval = Duration::from_secs(3_600);
    let timer = Arc::new(midplane::threads::Timer::new());
    Listener::new(fixture.backend(), fixture.ledger(), Arc::new(Done), timer)
        .with_settings(settings)
        .start()
}

/// "Looks follow each other at once while they find more": by nothing else a backlog is drained here, by one listener, and
/// by four, of which none looks in vain more than a few times. It is no time that is held to, but the number of looks.
pub(crate) async fn a_backlog_is_drained_by_looks_that_follow_each_other(
    fixture: Arc<dyn Fixture>,
) {
    for listeners in [1, 4] {
        let producer = fixture.producer();
        let producer = &*producer;
        stream::iter(0..BACKLOG)
            .for_each_concurrent(PRODUCED_AT_ONCE, |number| {
                run(producer, format!("backlog of {listeners}: {number}"))
            })
            .await;
        let (handles, running): (Vec<_>, Vec<_>) =
            (0..listeners).map(|_| listen(&*fixture)).unzip();
        let sum = |count: fn(&ListenerCounters) -> u64| -> u64 {
            handles.iter().map(|handle| count(&handle.counters())).sum()
        };
        let draining = async {
            for part in 1..=10 {
                let what = "a tenth of the backlog is handled";
                eventually(what, || {
                    sum(|counters| counters.done) >= part * BACKLOG / 10
                })
                .await;
            }
            join_all(handles.iter().map(|handle| handle.close(patience()))).await;
        };
        join(draining, join_all(running)).await;
        assert_eq!(
            sum(|counters| counters.done),
            BACKLOG,
            "each is handled once"
        );
        // A look has room for half of what may wait at least. Each listener has its first look, one when its subscription
        // is live, and one that finds the end.
        let looks = sum(|counters| counters.fruitful + counters.vain);
        let most = BACKLOG * 2 / AT_ONCE + 4 * listeners;
        assert!(looks <= most, "{looks} looks of {listeners} listeners");
        let left = succeeds("scanning", fixture.ledger().scan(&Scan::new(1))).await;
        assert!(left.completions.is_empty(), "{left:?}");
    }
}
