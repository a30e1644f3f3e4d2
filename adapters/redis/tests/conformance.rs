//! Redis and Valkey keep every promise of a bus.

use std::sync::Arc;

use midplane_conformance::suite::{BusFixture, RefusedBus};
use midplane_core::bus::Bus;
use midplane_redis::Redis;
use midplane_testkit::server::Server;

struct Real {
    server: Server,
}

impl Real {
    fn redis() -> Self {
        Self {
            server: Server::redis(),
        }
    }

    fn valkey() -> Self {
        Self {
            server: Server::valkey(),
        }
    }

    /// A server that is not ours is shared by the tests that run at once, but not its address: each has a
    /// proxy of its own.
    fn with_prefix(&self, name: &str) -> Redis {
        Redis::new(&self.server.url())
            .expect("a url")
            .with_prefix(format!("{name}-{}", self.server.address().port()))
            .expect("a prefix")
            .with_queue(4 << 20)
    }
}

impl BusFixture for Real {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.with_prefix("midplane"))
    }

    fn other_prefix(&self) -> Arc<dyn Bus> {
        Arc::new(self.with_prefix("midplane-too"))
    }

    fn cut(&self) {
        self.server.kill();
    }

    fn heal(&self) {
        self.server.restart();
    }

    fn connections(&self) -> usize {
        self.server.redis_connections()
    }

    fn wrong_credentials(&self) -> Option<RefusedBus> {
        let url = format!("redis://intruder:hunter2@{}", self.server.address());
        Some(RefusedBus {
            bus: Arc::new(Redis::new(&url).expect("a url")),
            secrets: vec!["hunter2".to_owned()],
            names: "user and password of the url".to_owned(),
        })
    }

    fn wrong_address(&self) -> Option<RefusedBus> {
        // Port 1 is nobody's.
        let bus = Redis::new("redis://:hunter2@127.0.0.1:1").expect("a url");
        Some(RefusedBus {
            bus: Arc::new(bus),
            secrets: vec!["hunter2".to_owned()],
            names: "127.0.0.1:1, as the url has it".to_owned(),
        })
    }

    fn flood(&self) -> usize {
        6_000
    }
}

midplane_conformance::bus_suite!(Real::redis);

mod valkey {
    use super::Real;

    midplane_conformance::bus_suite!(Real::valkey);
}
