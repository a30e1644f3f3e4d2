//! The store while its server, or the way to it, fails: what every store survives, and what Postgres alone does.

use midplane_completions_suite::faults::{COMMITTED, EXECUTIONS, FaultyStore, run};
use midplane_testkit::executor::Executor;
use midplane_testkit::proxy::{Proxy, Way};
use midplane_testkit::server::Server;

use crate::test_store::TestStore;

midplane_completions_suite::completion_faults!(
    TestStore,
    the_backends_of_listeners_are_terminated,
    the_connection_is_cut_at_every_byte,
);

impl FaultyStore for TestStore {
    fn shared() -> Self {
        Self::start()
    }

    fn alone() -> Self {
        Self::alone()
    }

    fn server(&self) -> &Server {
        self.server()
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }
}

fn the_backends_of_listeners_are_terminated(executor: Executor) {
    run(executor, TestStore::start, async |test, oracle| {
        for part in 1..=6 {
            oracle.reaches(part * EXECUTIONS / 10).await;
            test.sql(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE application_name = '{}'",
                test.schema
            ))
            .await;
        }
    });
}

/// Cuts a byte later each time, while producers are at work.
fn the_connection_is_cut_at_every_byte(executor: Executor) {
    run(executor, TestStore::start, async |test, oracle| {
        for byte in 1..=120 {
            let before = oracle.committed();
            test.proxy.cut_after(Way::ToClient, Some(byte));
            oracle.reaches((before + 3).min(COMMITTED)).await;
        }
        test.proxy.cut_after(Way::ToClient, None);
    });
}
