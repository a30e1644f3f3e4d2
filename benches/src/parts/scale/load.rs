//! What nodes and their bus carry: each quantity with the formula it is computed by.

use super::constants::Constants;

/// What is assumed, in the letters of the page.
#[derive(Clone, Copy)]
pub(super) struct Design {
    /// `N`: connections in all, and `B`: those whose nodes share a bus.
    pub(super) connections: f64,
    pub(super) on_bus: f64,
    /// `C`: connections of a node.
    pub(super) per_node: f64,
    /// `d`: events that reach a connection in a second.
    pub(super) deliveries: f64,
    /// `r`: connections in a topic, and `o`: in an org.
    pub(super) room: f64,
    pub(super) org: f64,
    /// `L`: lanes of the bus.
    pub(super) lanes: f64,
    /// `i`: seconds between two heartbeats.
    pub(super) interval: f64,
}

impl Design {
    /// What is assumed unless something else is said.
    pub(super) const fn of(connections: f64, on_bus: f64, lanes: f64) -> Self {
        Self {
            connections,
            on_bus,
            per_node: 50_000.0,
            deliveries: 1.0,
            room: 100.0,
            org: 1_000.0,
            lanes,
            interval: 2.0,
        }
    }

    /// `n = B / C`: nodes on a bus.
    pub(super) fn nodes(&self) -> f64 {
        self.on_bus / self.per_node
    }

    /// `P = B d / r`: publishes on a bus in a second, each to a topic.
    pub(super) fn publishes(&self) -> f64 {
        self.on_bus * self.deliveries / self.room
    }

    /// `T = 3 C + (B / o) (1 - e^(-o / n)) + (B / r) (1 - e^(-r / n))`: different targets on a node, members
    /// being anywhere.
    pub(super) fn targets(&self) -> f64 {
        let nodes = self.nodes();
        let shared = |size: f64| self.on_bus / size * (1.0 - (-size / nodes).exp());
        3.0 * self.per_node + shared(self.org) + shared(self.room)
    }

    /// `a = 1 - e^(-T / L)`, or 1 of one lane: the part of what is published that a node hears.
    pub(super) fn heard(&self) -> f64 {
        if self.lanes <= 1.0 {
            return 1.0;
        }
        1.0 - (-self.targets() / self.lanes).exp()
    }

    /// `u = 1 - e^(-r / n)`: the part that it has members for.
    pub(super) fn useful(&self) -> f64 {
        1.0 - (-self.room / self.nodes()).exp()
    }

    /// `x = min(L, P i / n)`: lanes that a node used between two heartbeats.
    pub(super) fn used(&self) -> f64 {
        (self.publishes() * self.interval / self.nodes()).min(self.lanes)
    }

    /// `n / i`: heartbeats that a node hears in a second.
    pub(super) fn beats(&self) -> f64 {
        self.nodes() / self.interval
    }

    /// `n P a + n^2 / i`: what a bus hands out in a second.
    pub(super) fn copies(&self) -> f64 {
        self.nodes() * (self.publishes() * self.heard() + self.beats())
    }

    /// `C (m + g)`: memory of a node's connections, in bytes.
    pub(super) fn memory(&self, constants: &Constants) -> f64 {
        self.per_node * (constants.client.value + constants.targets.value)
    }

    /// `C d w`: processors of a node that write to sockets.
    pub(super) fn writing(&self, constants: &Constants) -> f64 {
        self.per_node * self.deliveries * constants.delivery.value / 1e6
    }

    /// `P a f`: processors of a node that hear events.
    pub(super) fn hearing(&self, constants: &Constants) -> f64 {
        self.publishes() * self.heard() * constants.frame.value / 1e6
    }

    /// `P a b`: bytes of events that a node hears in a second.
    pub(super) fn event_bytes(&self, constants: &Constants) -> f64 {
        self.publishes() * self.heard() * constants.frame_bytes.value
    }

    /// `(n / i) k`: processors of a node that hear heartbeats.
    pub(super) fn beating(&self, constants: &Constants) -> f64 {
        self.beats() * constants.beat.value / 1e6
    }

    /// `(n / i) (h + l x)`: bytes of heartbeats that a node hears in a second.
    pub(super) fn beat_bytes(&self, constants: &Constants) -> f64 {
        let more = (self.used() - 1.0).max(0.0) * constants.lane_bytes.value;
        self.beats() * (constants.beat_bytes.value + more)
    }

    /// Processors of a node, together.
    pub(super) fn processors(&self, constants: &Constants) -> f64 {
        self.writing(constants) + self.hearing(constants) + self.beating(constants)
    }

    /// What the bus hands out to what one Redis passes on.
    pub(super) fn redises(&self, constants: &Constants) -> f64 {
        self.copies() / constants.redis.value
    }

    /// The largest `B` for which this holds, by halving; it holds of small ones and not of large ones.
    pub(super) fn most(&self, holds: impl Fn(&Self) -> bool) -> f64 {
        let (mut low, mut high) = (self.per_node, 1e12);
        while high / low > 1.001 {
            let middle = (low * high).sqrt();
            let design = Self {
                on_bus: middle,
                ..*self
            };
            if holds(&design) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}
