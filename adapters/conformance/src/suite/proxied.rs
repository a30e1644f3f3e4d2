//! A fixture over a server that several tests share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use midplane::bus::Bus;

use super::{BusFixture, RefusedBus};
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::{Lease, Server};

/// A [`BusFixture`] over a server that is slow to start or need not die: each test has a proxy of its own in front of
/// it, which plays the cuts and counts the connections, and a prefix of its own.
#[derive(Debug)]
pub struct Proxied {
    proxy: Proxy,
    server: Lease<Server>,
    open: fn(&str, &str) -> Arc<dyn Bus>,
    prefix: String,
    wrong_credentials: Option<RefusedBus>,
    wrong_address: Option<RefusedBus>,
    _kept: Option<Lease<Server>>,
}

impl Proxied {
    /// A place on this server, whose buses are made of a URL and a prefix: letters, digits and `-`, at most 40 bytes.
    ///
    /// # Panics
    /// When no loopback port is free.
    #[must_use]
    pub fn new(server: Lease<Server>, open: fn(url: &str, prefix: &str) -> Arc<dyn Bus>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);

        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            proxy: Proxy::start(server.address()),
            server,
            open,
            prefix: format!("check-{}-{number}", std::process::id()),
            wrong_credentials: None,
            wrong_address: None,
            _kept: None,
        }
    }

    /// Where the proxy is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Adds a bus whose credentials are wrong.
    #[must_use]
    pub fn with_wrong_credentials(mut self, bus: RefusedBus) -> Self {
        self.wrong_credentials = Some(bus);
        self
    }

    /// Adds a bus at an address where nobody listens: what stands before the address in its URL, and the secret in that.
    #[must_use]
    pub fn with_wrong_address(mut self, before: &str, secret: &str) -> Self {
        // Port 1 is nobody's.
        let address = "127.0.0.1:1";
        self.wrong_address = Some(RefusedBus {
            bus: (self.open)(&format!("{before}{address}"), &self.prefix),
            secrets: vec![secret.to_owned()],
            names: address.to_owned(),
        });
        self
    }

    /// Keeps another server alive for as long as this fixture.
    #[must_use]
    pub fn keeping(mut self, server: Lease<Server>) -> Self {
        self._kept = Some(server);
        self
    }

    fn with_prefix(&self, prefix: &str) -> Arc<dyn Bus> {
        (self.open)(&self.server.url_at(self.proxy.address()), prefix)
    }
}

impl BusFixture for Proxied {
    fn bus(&self) -> Arc<dyn Bus> {
        self.with_prefix(&self.prefix)
    }

    fn other_prefix(&self) -> Arc<dyn Bus> {
        self.with_prefix(&format!("{}-other", self.prefix))
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

    fn wrong_credentials(&self) -> Option<RefusedBus> {
        self.wrong_credentials.clone()
    }

    fn wrong_address(&self) -> Option<RefusedBus> {
        self.wrong_address.clone()
    }
}
