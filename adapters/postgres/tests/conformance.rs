//! Postgres keeps every promise of a bus.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use midplane_conformance::fixture::{Lease, Server, Shared};
use midplane_conformance::proxy::Proxy;
use midplane_conformance::suite::{Fixture, Guarded};
use midplane_core::bus::Bus;
use midplane_postgres::Postgres;

static SERVER: Shared = Shared::new(Server::postgres);

struct OverPostgres {
    proxy: Proxy,
    url: String,
    prefix: String,
    _server: Lease,
}

impl OverPostgres {
    fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);

        let server = SERVER.get();
        let proxy = Proxy::start(server.address());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            url: server.url_at(proxy.address()),
            proxy,
            prefix: format!("check-{}-{number}", std::process::id()),
            _server: server,
        }
    }

    fn with_prefix(&self, prefix: &str) -> Arc<dyn Bus> {
        let bus = Postgres::new(&self.url).expect("a URL");
        Arc::new(bus.with_prefix(prefix).expect("a prefix"))
    }
}

impl Fixture for OverPostgres {
    fn bus(&self) -> Arc<dyn Bus> {
        self.with_prefix(&self.prefix)
    }

    fn stranger(&self) -> Arc<dyn Bus> {
        self.with_prefix(&format!("{}_stranger", self.prefix))
    }

    fn cut(&self) {
        self.proxy.refuse();
    }

    fn heal(&self) {
        self.proxy.accept();
    }

    fn connections(&self) -> usize {
        self.proxy.connections()
    }

    fn intruder(&self) -> Option<Guarded> {
        let address = self.proxy.address();
        let url = format!("postgres://midplane:wr0ng%20one@{address}/postgres");
        Some(Guarded {
            bus: Arc::new(Postgres::new(&url).expect("a URL")),
            secrets: vec!["wr0ng one".into(), "wr0ng%20one".into()],
            names: address.to_string(),
        })
    }

    fn nowhere(&self) -> Option<Guarded> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let url = format!("postgres://midplane:s3cret@{address}/postgres");
        Some(Guarded {
            bus: Arc::new(Postgres::new(&url).expect("a URL")),
            secrets: vec!["s3cret".into()],
            names: address,
        })
    }

    fn holds_back(&self) -> bool {
        true
    }
}

midplane_conformance::bus_suite!(OverPostgres::start);
