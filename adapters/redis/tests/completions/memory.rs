//! A server whose memory is at its limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midplane::completions::{
    BackendErrorKind, Filter, GroupName, Groups, Journal, Outcome, Producer,
};
use midplane_completions_suite::script::{begin, execution, finish, handle, run};
use midplane_redis::{Redis, RedisStore};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::succeeds;

use crate::groups::new_group;
use crate::test_store::store;

fn used(server: &Server) -> usize {
    let info = server.redis_command(&["INFO", "memory"]);
    let mut lines = info.lines();
    let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
    let used = used.and_then(|text| text.trim().parse().ok());
    used.expect("a number of bytes")
}

fn limit(server: &Server, bytes: usize) {
    server.redis_does(&["CONFIG", "SET", "maxmemory", &bytes.to_string()]);
}

/// What frees memory runs when there is none: handling, and trimming.
#[test]
fn a_server_that_is_full_lets_itself_be_emptied() {
    Executor::Smol.run(async {
        const JOBS: usize = 200;

        let server = Server::redis_with(&[]);
        let store = store(&server.url(), "jobs");
        let large = Bytes::from(vec![b'x'; 10_000]);
        let names: Vec<_> = (0..JOBS).map(|number| format!("job {number}")).collect();
        for name in &names {
            begin(&store, name).await;
            finish(&store, name, &Outcome::Success, Some(large.clone())).await;
        }
        begin(&store, "refused").await;
        limit(&server, used(&server) / 2);
        let id = execution("refused");
        let refused = store.finish(&id, &Outcome::Success, Some(large)).await;
        let error = refused.expect_err("there is no memory");
        assert!(format!("{error:?}").contains("OOM"), "{error:?}");
        let before = used(&server);
        // As many as fit in what is taken at once.
        for names in names.chunks(50) {
            handle(&store, names).await;
        }
        let trimmed = succeeds("trimming", store.trim(0)).await;
        assert_eq!(trimmed, JOBS as u64);
        let after = used(&server);
        assert!(after < before / 2, "{after} bytes of {before} are left");
        limit(&server, 0);
        run(&store, "again").await;
    });
}

/// A group that has not looked yet empties it, too, and so does the end of one that was away for good.
#[test]
fn a_server_that_is_full_lets_groups_empty_it() {
    Executor::Smol.run(async {
        const JOBS: usize = 200;

        let server = Server::redis_with(&[]);
        let store = store(&server.url(), "jobs");
        let ledger = new_group(&store, "group").await;
        new_group(&store, "away").await;
        let large = Bytes::from(vec![b'x'; 10_000]);
        let names: Vec<_> = (0..JOBS).map(|number| format!("job {number}")).collect();
        for name in &names {
            begin(&store, name).await;
            finish(&store, name, &Outcome::Success, Some(large.clone())).await;
        }
        let before = used(&server);
        limit(&server, before / 2);
        for names in names.chunks(50) {
            handle(&store, names).await;
            handle(&*ledger, names).await;
        }
        assert_eq!(
            succeeds("trimming", store.trim(0)).await,
            JOBS as u64,
            "what is listed for the one that is away is small"
        );
        let after = used(&server);
        assert!(after > before / 2, "{after} bytes of {before} are kept");
        let away = GroupName::new("away").expect("an id");
        assert!(succeeds("removing", store.remove(Some(&away))).await);
        let after = used(&server);
        assert!(after < before / 2, "{after} bytes of {before} are left");
        limit(&server, 0);
        run(&store, "again").await;
    });
}

/// A policy that evicts is refused when the store is laid out, and said by a stream at its first read and later.
#[test]
fn a_server_that_evicts_is_refused_and_reported() {
    Executor::Smol.run(async {
        let server = Server::redis_with(&[]);
        let clock = VirtualClock::default();
        let redis = Redis::new(&server.url()).expect("a url");
        let redis = redis.with_prefix("jobs").expect("a prefix");
        let store = RedisStore::new(&redis, Arc::new(clock.clone()));
        succeeds("installing", store.install()).await;
        let mut reader = succeeds("connecting", store.connect(&Filter::all())).await;
        let place = succeeds("asking", reader.head()).await;
        let page = succeeds("reading", reader.read(&place, 10)).await;
        assert_eq!(page.trouble, None);
        limit(&server, 1 << 30);
        server.redis_does(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        clock.advance(clock.elapsed() + Duration::from_secs(60));
        let page = succeeds("reading", reader.read(&place, 10)).await;
        let trouble = page.trouble.expect("it evicts");
        assert_eq!(trouble.kind, BackendErrorKind::Misconfigured);
        assert!(
            trouble.text.contains("maxmemory-policy allkeys-lru"),
            "{trouble}"
        );
        let error = store.install().await.expect_err("it evicts");
        assert_eq!(error.kind(), BackendErrorKind::Misconfigured);
        server.redis_does(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        clock.advance(clock.elapsed() + Duration::from_secs(60));
        let page = succeeds("reading", reader.read(&place, 10)).await;
        assert_eq!(page.trouble, None);
        succeeds("installing", store.install()).await;
    });
}
