//! NATS keeps every promise of a bus.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use midplane_conformance::fixture::{Lease, Server, Shared};
use midplane_conformance::proxy::Proxy;
use midplane_conformance::suite::{Fixture, Guarded};
use midplane_core::bus::Bus;
use midplane_nats::Nats;

static SERVER: Shared = Shared::new(Server::nats);
static GUARDED: Shared =
    Shared::new(|| Server::nats_with(&["--user", "ada", "--pass", "the right one"]));

struct OverNats {
    proxy: Proxy,
    url: String,
    prefix: String,
    _server: Lease,
    guarded: Lease,
}

impl OverNats {
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
            guarded: GUARDED.get(),
        }
    }

    fn with_prefix(&self, prefix: &str) -> Arc<dyn Bus> {
        let bus = Nats::new(&self.url).expect("a URL");
        let bus = bus.with_prefix(prefix).expect("a prefix");
        Arc::new(bus.with_queue(4 << 20))
    }
}

impl Fixture for OverNats {
    fn bus(&self) -> Arc<dyn Bus> {
        self.with_prefix(&self.prefix)
    }

    fn stranger(&self) -> Arc<dyn Bus> {
        self.with_prefix(&format!("{}.stranger", self.prefix))
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
        let address = self.guarded.address();
        let bus = Nats::new(&format!("nats://ada:the%20wr0ng@{address}")).expect("a URL");
        Some(Guarded {
            bus: Arc::new(bus),
            secrets: vec!["the wr0ng".into(), "the%20wr0ng".into()],
            names: "credentials".into(),
        })
    }

    fn nowhere(&self) -> Option<Guarded> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let bus = Nats::new(&format!("nats://s3cret@{address}")).expect("a URL");
        Some(Guarded {
            bus: Arc::new(bus),
            secrets: vec!["s3cret".into()],
            names: address,
        })
    }
}

midplane_conformance::bus_suite!(OverNats::start);
