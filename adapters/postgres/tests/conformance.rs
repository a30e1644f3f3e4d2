//! Postgres keeps every promise of a bus.

use std::sync::Arc;

use midplane_conformance::suite::{Proxied, RefusedBus};
use midplane_core::bus::Bus;
use midplane_postgres::Postgres;
use midplane_testkit::server::{Server, SharedServer};

static SERVER: SharedServer<Server> = SharedServer::new(Server::postgres);

fn open(url: &str, prefix: &str) -> Arc<dyn Bus> {
    let bus = Postgres::new(url).expect("a URL");
    Arc::new(
        bus.with_prefix(prefix)
            .expect("a prefix")
            .with_queue(4 << 20),
    )
}

fn start() -> Proxied {
    let place = Proxied::new(SERVER.get(), open)
        .with_wrong_address("postgres://midplane:s3cret@", "s3cret");
    let address = place.address().to_string();
    let url = format!("postgres://midplane:wr0ng%20one@{address}/postgres");
    place.with_wrong_credentials(RefusedBus {
        bus: open(&url, "intruder"),
        secrets: vec!["wr0ng one".into(), "wr0ng%20one".into()],
        names: address,
    })
}

midplane_conformance::bus_suite!(start);
