//! NATS keeps every promise of a bus.

use std::sync::Arc;

use midplane_conformance::suite::{Proxied, RefusedBus};
use midplane_core::bus::Bus;
use midplane_nats::Nats;
use midplane_testkit::server::{Server, SharedServer};

static SERVER: SharedServer<Server> = SharedServer::new(Server::nats);
static GUARDED: SharedServer<Server> =
    SharedServer::new(|| Server::nats_with(&["--user", "ada", "--pass", "the right one"]));

fn open(url: &str, prefix: &str) -> Arc<dyn Bus> {
    let bus = Nats::new(url).expect("a URL");
    Arc::new(
        bus.with_prefix(prefix)
            .expect("a prefix")
            .with_queue(4 << 20),
    )
}

fn start() -> Proxied {
    // The server that lets anyone in knows no wrong credentials.
    let refused = GUARDED.get();
    let url = format!("nats://ada:the%20wr0ng@{}", refused.address());
    let place = Proxied::new(SERVER.get(), open)
        .with_wrong_address("nats://s3cret@", "s3cret")
        .with_wrong_credentials(RefusedBus {
            bus: open(&url, "intruder"),
            secrets: vec!["the wr0ng".into(), "the%20wr0ng".into()],
            names: "credentials".into(),
        });
    place.keeping(refused)
}

midplane_conformance::bus_suite!(start);
