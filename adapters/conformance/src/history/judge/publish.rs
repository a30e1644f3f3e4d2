//! What became of one event.

use midplane::envelope::NodeId;
use midplane::{Audience, Scope};

use super::point::Point;
use crate::history::fact::{AttachmentId, Relayed, SinkCounts, SinkOutcome};
use crate::history::tag::EventTag;

/// One publish, from its call to its deliveries.
#[derive(Debug)]
pub(super) struct PublishRecord<'a> {
    pub(super) node: NodeId,
    pub(super) scope: &'a Scope,
    pub(super) audience: &'a Audience,
    pub(super) lane: u32,
    pub(super) hash: u64,
    pub(super) bytes: u64,
    pub(super) called: Point,
    pub(super) returned: Option<(Point, SinkCounts, Relayed)>,
    /// The number under which the event was handed to the bus first, and when.
    pub(super) sent: Option<(u64, Point)>,
    /// The deliveries of the event, by their position among all.
    pub(super) deliveries: Vec<usize>,
}

impl PublishRecord<'_> {
    /// Whether the receipt said that the event is relayed.
    pub(super) fn is_queued(&self) -> bool {
        matches!(self.returned, Some((.., Relayed::Queued)))
    }

    /// Whether it was to be relayed, and did not leave its node.
    pub(super) fn is_unsent(&self) -> bool {
        self.is_queued() && self.sent.is_none()
    }
}

/// One call of one sink.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) point: Point,
    pub(super) attachment: AttachmentId,
    pub(super) tag: Option<EventTag>,
    pub(super) hash: u64,
    pub(super) outcome: SinkOutcome,
}

/// One message that was handed to the bus.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    pub(super) point: Point,
    /// The first number in the same frame.
    pub(super) frame: u64,
    pub(super) tag: Option<EventTag>,
}
