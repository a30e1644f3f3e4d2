//! What a cluster is built of beside its bus and its clock.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::AtomicUsize;

use bytes::Bytes;
use lock_api::Mutex;

use super::Cluster;
use super::driver::Driver;
use super::engine::Engine;
use super::external::{Decode, ExternalEvent, ExternalSubscription};
use super::lanes::Lanes;
use super::names::Names;
use super::outgoing::Outgoing;
use super::shared::ClusterShared;
use crate::bus::{Bus, Signing};
use crate::host::Host;
use crate::node::Config;
use crate::node_id::NodeId;
use crate::notice::Notices;
use crate::receipt::State;
use crate::registry::Registry;
use crate::status::{RefusalCounters, Status};
use crate::target::Scope;
use crate::time::Timer;

/// After how many heartbeats a driver that was never polled counts as none: the host forgot to spawn it, or the
/// runtime that was to run it does not.
const UNPOLLED: u32 = 10;

/// Builds a [`Cluster`] with parts of its own: see [`Cluster::builder`].
pub struct ClusterBuilder<H: Host> {
    config: Config,
    registry: Registry<H>,
    decode: Option<Decode>,
    names: Names,
    signing: Option<Signing>,
}

impl<H: Host> ClusterBuilder<H> {
    /// A builder with a new registry and no subscription to external publishers.
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            registry: Registry::new(),
            decode: None,
            names: Names::default(),
            signing: None,
        }
    }

    /// Uses this registry, which must be new: for its limits.
    #[must_use]
    pub fn with_registry(mut self, registry: Registry<H>) -> Self {
        self.registry = registry;
        self
    }

    /// Gives the node a name for people, beside its id: others show it and say it in their logs. 64 bytes of it count, and no
    /// control characters.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.names.node = name.into();
        self
    }

    /// Gives the cluster a name: nothing of a node is taken that says another one, and both sides
    /// [say so](crate::Notice::Differs). Of services that share a prefix on a broker by mistake none then gets the other's
    /// events. A node without such a name agrees with every other, so that a name can be given to one node after the other.
    /// 64 bytes of it count, and no control characters.
    #[must_use]
    pub fn with_cluster_name(mut self, name: impl Into<String>) -> Self {
        self.names.cluster = name.into();
        self
    }

    /// Subscribes to [`Lane::JSON`](crate::bus::Lane::JSON), the lane of external publishers, whose messages `decode`
    /// reads. A message that `decode` refuses is [counted](super::Status::external) with the reason and goes nowhere.
    ///
    /// Each node delivers to its own connections, so all nodes should be built alike. A program that can publish on
    /// that lane can publish to every connection. The messages have no sequence numbers: a lost one lies in no gap, a
    /// repeated one is delivered again, and their order among others is the bus's.
    ///
    /// `decode` is called in the driver, with bytes that anyone may have published: it must neither panic nor block.
    #[must_use]
    pub fn with_external<E: fmt::Display>(
        mut self,
        decode: impl Fn(&Bytes) -> Result<ExternalEvent, E> + Send + Sync + 'static,
    ) -> Self {
        self.decode = Some(Arc::new(move |frame| {
            decode(frame).map_err(|error| error.to_string())
        }));
        self
    }

    /// Signs the node's frames, and verifies those of others. Unless this is called no frame is signed, and who can write to
    /// the bus is trusted with everything.
    ///
    /// Where signatures are [required](Signing::require), [`Lane::JSON`](crate::bus::Lane::JSON) is closed: its messages are
    /// not signed, so each is refused and counted as such.
    #[must_use]
    pub fn with_signing(mut self, signing: Signing) -> Self {
        self.signing = Some(signing);
        self
    }

    /// A node of the cluster whose nodes meet on this bus, and the future that drives the node.
    ///
    /// The id must be fresh for every start of a process: sixteen random bytes. Nothing is connected before the driver
    /// is polled; until the node is live, the state is [`State::Degraded`]. If the driver is not polled within
    /// ten heartbeats of this call, the state is [`State::Stopped`] and what is published is refused, until it is.
    pub fn build(
        self,
        id: NodeId,
        bus: Arc<dyn Bus>,
        timer: Arc<dyn Timer>,
    ) -> (Cluster<H>, Driver) {
        let config = self.config.checked();
        let overdue = timer.now() + config.heartbeat * UNPOLLED;
        let outgoing = Arc::new(Outgoing::new(config.queue, overdue));
        let lanes = Arc::new(Lanes::new(config.lanes, outgoing.clone(), timer.clone()));
        let limits = bus.limits();
        let signing = self.signing;
        let closed = signing.as_ref().is_some_and(Signing::is_required);
        let external = self
            .decode
            .map(|decode| ExternalSubscription::new(decode, limits.frame, closed));
        let shared = Arc::new(ClusterShared {
            id,
            config,
            frame: AtomicUsize::new(limits.frame),
            registry: Arc::new(self.registry.with_watcher(lanes.clone())),
            outgoing,
            notices: Notices::new(State::Degraded),
            timer,
            status: Mutex::new(Status::default()),
            refusals: RefusalCounters::default(),
        });
        let engine = Engine::new(
            shared.clone(),
            bus,
            lanes,
            external,
            (&self.names, signing.as_ref()),
        );
        let scope = Scope::default();
        (Cluster { shared, scope }, Driver::new(engine))
    }
}

impl<H: Host> fmt::Debug for ClusterBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("config", &self.config)
            .field("registry", &self.registry)
            .field("external", &self.decode.is_some())
            .field("names", &self.names)
            .field("signing", &self.signing)
            .finish()
    }
}
