//! Connections that the program opens itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use midplane::completions::{
    BackendError, BackendErrorKind, Execution, Ledger, Producer, Scan, StreamItem,
};
use midplane_completions_suite::script::{execution, expect, handle, next_item, run, subscribe};
use midplane_redis::{RedisConnect, RedisConnection, RedisPushes, RedisStore};
use midplane_testkit::error::shown;
use midplane_testkit::executor::Executor;
use midplane_testkit::server::Server;
use midplane_testkit::succeeds;
use redis::{AsyncConnectionConfig, Client};

use crate::peculiar::asleep;

#[derive(Debug)]
struct OwnConnections {
    client: Client,
    opened: AtomicUsize,
}

#[async_trait]
impl RedisConnect for OwnConnections {
    async fn connect(
        &self,
        key: &str,
        pushes: RedisPushes,
    ) -> Result<RedisConnection, BackendError> {
        assert_eq!(key, "{jobs}:history");
        // The store has deadlines of its own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(pushes);
        let client = &self.client;
        let connected = client.get_multiplexed_async_connection_with_config(&config);
        let connection = connected.await.map_err(|error| {
            BackendError::new(BackendErrorKind::Unreachable, "there is no connection")
                .caused_by(error)
        })?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(RedisConnection::new(connection, "our server").with_secret("hunter2"))
    }
}

/// Functions of another library under the names of ours.
const SAYING: &str = "#!lua name=saying\n\
    redis.register_function('midplane_install_4', function() return '7f' end)\n\
    redis.register_function('midplane_start_4', function() return redis.error_reply('SAID hunter2') end)";

#[test]
fn a_store_works_over_connections_that_the_program_opens() {
    for executor in [Executor::Smol, Executor::TokioMulti] {
        executor.run(async {
            let server = Server::redis_with(&[]);
            let url = format!("{}?protocol=resp3", server.url());
            let connections = Arc::new(OwnConnections {
                client: Client::open(url).expect("a url"),
                opened: AtomicUsize::new(0),
            });
            let opened = || connections.opened.load(Ordering::Relaxed);
            let timer = Arc::new(midplane::threads::Timer::new());
            let store = RedisStore::over(connections.clone(), "jobs", timer).expect("a prefix");
            succeeds("installing", store.install()).await;
            assert_eq!(opened(), 1, "one that is shared");
            // All that comes is pushed.
            let mut stream = subscribe(&asleep(&store)).await;
            assert_eq!(opened(), 2, "one that listens");
            run(&store, "before").await;
            expect(&mut stream, "before").await;
            for kind in ["normal", "pubsub"] {
                server.redis_does(&["CLIENT", "KILL", "TYPE", kind]);
            }
            assert_eq!(next_item(&mut stream).await, StreamItem::Resync);
            run(&store, "after").await;
            expect(&mut stream, "after").await;
            assert_eq!(opened(), 4, "each was opened again");
            handle(&store, &["before", "after"]).await;
            let left = succeeds("scanning", store.scan(&Scan::new(9))).await;
            assert!(left.completions.is_empty(), "{left:?}");

            server.redis_does(&["FUNCTION", "FLUSH"]);
            server.redis_does(&["FUNCTION", "LOAD", SAYING]);
            let started = Execution::new(execution("said"));
            let error = store.start(&started).await.expect_err("it is refused");
            let shown = shown(&error);
            assert!(shown.contains("our server"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        });
    }
}

#[test]
fn a_prefix_that_no_bus_takes_is_refused() {
    let connections = OwnConnections {
        client: Client::open("redis://localhost").expect("a url"),
        opened: AtomicUsize::new(0),
    };
    let timer = Arc::new(midplane::threads::Timer::new());
    let refused = RedisStore::over(Arc::new(connections), "a b", timer);
    assert!(refused.is_err(), "{refused:?}");
}
