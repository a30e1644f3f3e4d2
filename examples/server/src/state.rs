//! What the tasks of one server share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midplane::core::Delivered;
use midplane::mailbox::Budget;
use midplane::{Audience, Backplane, Event, LaneMap, Receipt, Relay, State, Status};

use crate::backplane::{Node, Plane};
use crate::config::Config;
use crate::connections::{ConnectionPlace, Connections, NoPlace};
use crate::descriptors::Places;
use crate::flows::Flows;
use crate::idempotency::Idempotency;
use crate::live_watch::LiveWatch;
use crate::notice_log::NoticeLog;
use crate::operators::Operators;
use crate::runtime::Runtime;
use crate::sockets::Sockets;

/// One server: the backplane, the limits and the counts.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) runtime: Runtime,
    pub(crate) plane: Arc<dyn Backplane>,
    /// The backplane, as connections are attached to it.
    pub(crate) front: midplane::Plane,
    /// The node of this server, and what it knows of others.
    pub(crate) node: Node,
    pub(crate) operators: Operators,
    /// The lanes that the targets lie on.
    pub(crate) lanes: LaneMap,
    noticed: Mutex<NoticeLog>,
    /// Whether the backplane is live, for the tasks of the clients.
    pub(crate) live: Arc<LiveWatch>,
    /// The sockets that speak HTTP.
    pub(crate) sockets: Arc<Sockets>,
    /// The sockets that became WebSocket connections.
    pub(crate) connections: Arc<Connections>,
    /// What the mailboxes of all connections hold together.
    pub(crate) backlog: Arc<Budget>,
    pub(crate) counts: Counts,
    pub(crate) flows: Flows,
    pub(crate) idempotency: Idempotency,
}

impl App {
    pub(crate) fn new(
        config: Config,
        places: Places,
        runtime: Runtime,
        plane: Plane,
        operators: Operators,
    ) -> Self {
        let flows = Flows::new(&runtime);
        let each = config.max_connections_per_address;
        let each = (each > 0).then_some(each);
        Self {
            sockets: Sockets::new(places.sockets),
            connections: Connections::new(places.connections, each),
            lanes: LaneMap::new(config.lanes),
            backlog: Arc::new(Budget::new(config.max_backlog)),
            config,
            runtime,
            live: LiveWatch::new(plane.backplane.state() == State::Live),
            front: midplane::Plane::of(plane.backplane.clone(), None),
            plane: plane.backplane,
            node: plane.node,
            operators,
            noticed: Mutex::default(),
            counts: Counts::default(),
            flows,
            idempotency: Idempotency::default(),
        }
    }

    /// Whether new clients are taken: not once those that are there are told to go. While the bus is away they still
    /// are, for if every node turned them down, nobody would be served at all.
    pub(crate) fn is_open(&self) -> bool {
        !self.front.is_draining() && self.plane.state() != State::Closed
    }

    /// Whether a load balancer is to send clients here.
    pub(crate) fn is_ready(&self) -> bool {
        self.node.status().ready && !self.front.is_unready()
    }

    /// What the notices of the backplane said. Not to be held for long.
    pub(crate) fn noticed(&self) -> MutexGuard<'_, NoticeLog> {
        // Counts and texts are whole even if a thread panicked holding them.
        self.noticed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the connection of a client at this address, if there is one and new clients are taken.
    pub(crate) fn take_connection(&self, address: IpAddr) -> Result<ConnectionPlace, NoPlace> {
        let place = self.connections.take(address)?;
        match self.is_open() {
            true => Ok(place),
            false => Err(NoPlace::Full),
        }
    }

    /// The state of this node and every count that is kept of it.
    pub(crate) fn status(&self) -> Status {
        let mut status = self.node.status();
        status.state = self.plane.state();
        status.mailboxes = self.front.status().mailboxes;
        status
    }

    pub(crate) fn publish(&self, audience: &Audience, event: &Event) -> Receipt {
        let receipt = self.plane.publish(audience, event);
        self.count(receipt.local, receipt.relay);
        receipt
    }

    /// Counts a publication, by what came of it on this node and on its way to others.
    pub(crate) fn count(&self, local: Delivered, relay: Relay) {
        let counts = &self.counts;
        for (counter, count) in [
            (&counts.published, 1),
            (&counts.delivered, local.accepted),
            (&counts.full, local.full),
            (&counts.closed, local.closed),
            (&counts.panicked, local.panicked),
        ] {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
        if let Relay::Refused(_) = relay {
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What happened since the server started.
#[derive(Default)]
pub(crate) struct Counts {
    /// Publishes, by clients and by HTTP.
    pub(crate) published: AtomicU64,
    /// Mailboxes that took an event.
    pub(crate) delivered: AtomicU64,
    /// Mailboxes that had no room for one.
    pub(crate) full: AtomicU64,
    /// Connections found gone.
    pub(crate) closed: AtomicU64,
    /// Sinks that panicked.
    pub(crate) panicked: AtomicU64,
    /// Events that were not relayed to other nodes.
    pub(crate) refused: AtomicU64,
    /// Events dropped from mailboxes, of which clients were noticed.
    pub(crate) lost: AtomicU64,
    /// Events that clients were told are missing, counted for each client.
    pub(crate) missed: AtomicU64,
    /// How often a client was told that it may have missed events.
    pub(crate) missed_messages: AtomicU64,
}

impl Counts {
    pub(crate) fn lose(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn miss(&self, events: u64) {
        self.missed.fetch_add(events, Ordering::Relaxed);
        self.missed_messages.fetch_add(1, Ordering::Relaxed);
    }
}
