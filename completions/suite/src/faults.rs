//! Trials of a store on a server of its own, while the server or the way to it fails.
//!
//! [`completion_faults!`](crate::completion_faults) makes one test of each on smol and on tokio, and of what
//! is peculiar to a store beside them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::server::Server;
use midplane_testkit::set_patience;

use crate::fixture::Fixture;
use crate::trial::{TrialOracle, TrialReport, trial};

/// How many executions a trial starts.
pub const EXECUTIONS: usize = 1_500;

/// How many of them commit at least: three of ten are rolled back.
pub const COMMITTED: usize = EXECUTIONS / 10 * 7;

/// A store whose server can be killed and stopped, and whose backend connects through a proxy.
pub trait FaultyStore: Fixture + Sized {
    /// A store on a server that other tests use too.
    fn shared() -> Self;

    /// A store on a server of its own.
    fn alone() -> Self;

    /// The server.
    fn server(&self) -> &Server;

    /// The proxy between the backend and the server.
    fn proxy(&self) -> &Proxy;
}

/// Runs a trial with a fault, and requires that the stream brought completions.
///
/// # Panics
/// When the trial fails.
pub fn run<S: FaultyStore, F: Future<Output = ()> + Send + 'static>(
    executor: Executor,
    start: fn() -> S,
    fault: impl FnOnce(Arc<S>, Arc<TrialOracle>) -> F + Send + 'static,
) -> TrialReport {
    let report = executor.run(async move {
        let store = Arc::new(start());
        let fixture: Arc<dyn Fixture> = store.clone();
        trial(&fixture, EXECUTIONS, |oracle| fault(store, oracle)).await
    });
    assert!(report.counters.streamed > 0, "{report:?}");
    assert!(report.committed >= COMMITTED, "{report:?}");
    report
}

/// Nothing fails, and no execution is handled twice.
pub fn nothing_goes_wrong<S: FaultyStore>(executor: Executor) {
    let report = run(executor, S::shared, async |_, _| {});
    assert_eq!(report.repeated, 0, "{report:?}");
}

/// The server gets SIGKILL, its children too, three times.
pub fn the_server_is_killed_and_restarted<S: FaultyStore>(executor: Executor) {
    run(executor, S::alone, async |store, oracle| {
        for part in 1..=3 {
            oracle.reaches(part * EXECUTIONS / 10).await;
            let store = Arc::clone(&store);
            smol::unblock(move || {
                store.server().kill();
                store.server().restart();
            })
            .await;
        }
    });
}

/// The server gets SIGSTOP for 3 s.
pub fn the_server_is_stopped_for_three_seconds<S: FaultyStore>(executor: Executor) {
    stopped::<S>(executor, Duration::from_secs(3));
}

/// The server gets SIGSTOP for 30 s.
pub fn the_server_is_stopped_for_thirty_seconds<S: FaultyStore>(executor: Executor) {
    // Producers wait that long for their answers, and the store is not to blame.
    set_patience(Duration::from_secs(60));
    stopped::<S>(executor, Duration::from_secs(30));
}

fn stopped<S: FaultyStore>(executor: Executor, length: Duration) {
    run(executor, S::alone, async move |store, oracle| {
        oracle.reaches(EXECUTIONS / 5).await;
        store.server().stop();
        Delay::new(length).await;
        store.server().thaw();
    });
}

/// The backend's connection carries nothing back for 3 s, and does not end, twice.
pub fn the_connection_is_half_open<S: FaultyStore>(executor: Executor) {
    run(executor, S::shared, async |store, oracle| {
        for part in 1..=2 {
            oracle.reaches(part * EXECUTIONS / 5).await;
            store.proxy().hold(Way::ToClient);
            Delay::new(Duration::from_secs(3)).await;
            store.proxy().pass(Way::ToClient);
        }
    });
}

/// The server's answers arrive byte by byte.
pub fn answers_arrive_byte_by_byte<S: FaultyStore>(executor: Executor) {
    run(executor, S::shared, async |store, oracle| {
        store.proxy().slice(Way::ToClient, true);
        oracle.reaches(COMMITTED).await;
        store.proxy().slice(Way::ToClient, false);
    });
}

/// Makes one test of each trial of [`faults`](crate::faults), and of each function named behind the store's
/// type, on smol and on tokio, in modules of these names: `completion_faults!(Place, its_own_fault)`. The
/// thirty seconds are ignored unless asked for.
#[macro_export]
macro_rules! completion_faults {
    ($store:ty $(, $own:ident)* $(,)?) => {
        $crate::completion_faults!(@on smol, Smol, $store $(, $own)*);
        $crate::completion_faults!(@on tokio, TokioMulti, $store $(, $own)*);
    };
    (@on $module:ident, $executor:ident, $store:ty $(, $own:ident)*) => {
        mod $module {
            use super::*;

            $crate::completion_faults!(@each $executor, $store,
                nothing_goes_wrong
                the_server_is_killed_and_restarted
                the_server_is_stopped_for_three_seconds
                the_connection_is_half_open
                answers_arrive_byte_by_byte
            );

            #[test]
            #[ignore = "half a minute; `./test faults` runs it"]
            fn the_server_is_stopped_for_thirty_seconds() {
                $crate::faults::the_server_is_stopped_for_thirty_seconds::<$store>(
                    $crate::Executor::$executor,
                );
            }

            $(#[test]
            fn $own() {
                super::$own($crate::Executor::$executor);
            })*
        }
    };
    (@each $executor:ident, $store:ty, $($fault:ident)+) => {
        $(#[test]
        fn $fault() {
            $crate::faults::$fault::<$store>($crate::Executor::$executor);
        })+
    };
}
