//! What the handles of a cluster and its driver share.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::Mutex;

use super::outgoing::Outgoing;
use crate::bus::Limits;
use crate::host::Host;
use crate::node::{Config, Intake};
use crate::node_id::NodeId;
use crate::notice::Notices;
use crate::registry::Registry;
use crate::status::{RefusalCounters, Status};
use crate::time::Timer;

/// The parts of a node that its handles and its driver both use.
pub(super) struct ClusterShared<H: Host> {
    pub(super) id: NodeId,
    pub(super) config: Config,
    /// The largest frame that the bus takes at this moment, in bytes.
    pub(super) frame: AtomicUsize,
    pub(super) registry: Arc<Registry<H>>,
    pub(super) outgoing: Arc<Outgoing<H>>,
    pub(super) notices: Arc<Notices<H>>,
    pub(super) timer: Arc<dyn Timer>,
    pub(super) status: Mutex<H::Mutex, Status>,
    pub(super) refusals: RefusalCounters,
}

impl<H: Host> ClusterShared<H> {
    /// What prepares an event for the bus as the bus is now.
    pub(super) fn intake(&self) -> Intake {
        let frame = self.frame.load(Ordering::Relaxed);
        Intake::new(self.config.lanes, Limits::new(frame))
    }
}
