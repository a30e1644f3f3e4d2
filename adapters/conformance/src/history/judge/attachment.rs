//! What became of one attachment.

use std::time::Duration;

use midplane::envelope::NodeId;
use midplane::{ConnectionId, Reach, Scope, Target};

use super::point::Point;
use crate::history::fact::name;

/// The life of one attachment.
#[derive(Debug)]
pub(super) struct AttachmentSpan {
    pub(super) node: NodeId,
    pub(super) scope: Scope,
    pub(super) connection: ConnectionId,
    /// From when on it may be gone: its detach was called, another attachment took its id, its sink said closed or
    /// panicked, or its node ended.
    pub(super) maybe_gone: Option<Point>,
    /// From when on no publish that begins finds it.
    pub(super) gone: Option<Point>,
    /// From when on no call of its sink runs.
    pub(super) detached: Option<Point>,
    /// The first membership is that in the connection's own target.
    pub(super) memberships: Vec<(Target, Membership)>,
    /// From when on its own target reaches as far as it could.
    pub(super) reached: Option<Point>,
    /// What it was told that it may have missed.
    pub(super) missed: Vec<Missed>,
}

/// One time that an attachment was told that it may have missed events.
#[derive(Debug, Clone)]
pub(super) struct Missed {
    pub(super) told: Point,
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) events: u64,
    pub(super) exact: bool,
    lanes: Option<Vec<u32>>,
}

impl Missed {
    pub(super) fn new(
        told: Point,
        (since, until): (Duration, Duration),
        (events, exact): (u64, bool),
        lanes: Option<Vec<u32>>,
    ) -> Self {
        Self {
            told,
            since,
            until,
            events,
            exact,
            lanes,
        }
    }

    pub(super) fn names(&self, lane: u32) -> bool {
        let lanes = self.lanes.as_ref();
        lanes.is_none_or(|lanes| lanes.contains(&lane))
    }
}

/// One membership in one target, from an associate to a dissociate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    /// From when on it may be a member.
    pub(super) from: Point,
    /// From when on it is owed what is published.
    pub(super) here: Option<Point>,
    /// From when on it may be no member.
    pub(super) leaving: Option<Point>,
    /// From when on no publish that begins finds it a member.
    pub(super) until: Option<Point>,
}

impl AttachmentSpan {
    pub(super) fn new(
        node: NodeId,
        scope: Scope,
        connection: ConnectionId,
        from: Point,
        maybe_gone: Option<Point>,
    ) -> Self {
        let own = Target::Connection(connection.clone());
        Self {
            node,
            scope,
            connection,
            maybe_gone,
            gone: None,
            detached: None,
            memberships: vec![(own, Membership::begin(from))],
            reached: None,
            missed: Vec::new(),
        }
    }

    /// The membership in the connection's own target.
    pub(super) fn own(&mut self) -> &mut Membership {
        &mut self.memberships[0].1
    }

    pub(super) fn own_target(&self) -> Target {
        Target::Connection(self.connection.clone())
    }

    pub(super) fn in_target(&mut self, target: &Target) -> impl Iterator<Item = &mut Membership> {
        let memberships = self.memberships.iter_mut();
        memberships.filter_map(move |(of, membership)| (of == target).then_some(membership))
    }

    pub(super) fn associated(&mut self, point: Point, target: &Target, reach: Option<Reach>) {
        let pending =
            |membership: &&mut Membership| membership.here.is_none() && membership.until.is_none();
        let Some(membership) = self.in_target(target).find(pending) else {
            return;
        };
        if reach.is_some() {
            membership.here = Some(point);
        } else {
            membership.leaving.get_or_insert(point);
            membership.until.get_or_insert(point);
        }
    }

    /// The connection and its node, for people.
    pub(super) fn name(&self) -> String {
        format!("{} of {}", self.connection, name(self.node))
    }
}

impl Membership {
    pub(super) fn begin(from: Point) -> Self {
        Self {
            from,
            here: None,
            leaving: None,
            until: None,
        }
    }
}
