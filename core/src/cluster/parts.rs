//! What a cluster is made of beside its bus and its clock.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use bytes::Bytes;

use super::foreign::Foreign;
use crate::host::Host;
use crate::node::Config;
use crate::registry::Registry;

/// Reads one message of [`Lane::JSON`](crate::bus::Lane::JSON), or says what is wrong with it.
pub(super) type Decode = Arc<dyn Fn(&Bytes) -> Result<Foreign, String> + Send + Sync>;

/// What a [`Cluster`](super::Cluster) is made of beside its bus and its clock.
pub struct Parts<H: Host> {
    pub(super) config: Config,
    pub(super) registry: Registry<H>,
    pub(super) decode: Option<Decode>,
}

impl<H: Host> Parts<H> {
    /// A node that behaves like this, with a registry of its own and no ear for programs that are no nodes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            registry: Registry::new(),
            decode: None,
        }
    }

    /// The same with this registry, which must be new: for its limits.
    #[must_use]
    pub fn with_registry(mut self, registry: Registry<H>) -> Self {
        self.registry = registry;
        self
    }

    /// The same, also hearing [`Lane::JSON`](crate::bus::Lane::JSON), whose messages `decode` reads. What it
    /// refuses, saying why, is [counted](super::Status::foreign) and goes nowhere.
    ///
    /// Each node delivers to its own connections, so all nodes should be told alike. Whoever can publish there
    /// can publish to everyone. Such messages have no numbers: one that is lost lies in no gap, one that is
    /// repeated is delivered again, and their order among others is the bus's.
    ///
    /// `decode` is called in the driver, with whatever anyone published: it must neither panic nor block.
    #[must_use]
    pub fn with_foreign<E: fmt::Display>(
        mut self,
        decode: impl Fn(&Bytes) -> Result<Foreign, E> + Send + Sync + 'static,
    ) -> Self {
        self.decode = Some(Arc::new(move |frame| {
            decode(frame).map_err(|error| error.to_string())
        }));
        self
    }
}

impl<H: Host> fmt::Debug for Parts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("config", &self.config)
            .field("registry", &self.registry)
            .field("foreign", &self.decode.is_some())
            .finish()
    }
}
