//! Nodes whose frames are dropped for want of a signature: operators are told their names, and nothing of them is believed.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use crate::envelope::{Decoded, Frame, Introduction, Message, Unproven};
use crate::member::{AgreedSetting, Difference};
use crate::node_id::NodeId;
use crate::time::Instant;

/// The most such nodes that are named at once.
const NAMED: usize = 16;

/// In how many parts of a heartbeat one such frame is looked at.
const LOOKS: u32 = 16;

/// For how many of its heartbeats such a node is named after a frame of it came last, and how much longer than ours
/// those are, at most.
const LATELY: u32 = 10;
const SLOWER: u32 = 16;

/// The nodes whose frames were dropped lately for want of a signature, as those frames say.
#[derive(Debug, Default)]
pub(super) struct UnprovenSenders {
    named: BTreeMap<NodeId, UnprovenSender>,
    /// When the next frame is looked at.
    next: Instant,
}

#[derive(Debug)]
struct UnprovenSender {
    name: String,
    unproven: Unproven,
    /// Until when it is named.
    until: Instant,
}

impl UnprovenSenders {
    /// A frame was dropped that introduces this node. True if the node is named from now on.
    pub(super) fn came(
        &mut self,
        now: Instant,
        ours: Duration,
        (node, introduction): (NodeId, Introduction),
        unproven: Unproven,
    ) -> bool {
        let room = self.named.len() < NAMED;
        let every = introduction.settings.heartbeat.clamp(ours, ours * SLOWER);
        let until = now + every * LATELY;
        match self.named.entry(node) {
            Entry::Occupied(mut named) => {
                let named = named.get_mut();
                (named.unproven, named.until) = (unproven, until);
                false
            }
            Entry::Vacant(place) => {
                if room {
                    place.insert(UnprovenSender {
                        name: introduction.name_of(node),
                        unproven,
                        until,
                    });
                }
                room
            }
        }
    }

    /// The introduction in a frame, if it is time to look at one.
    pub(super) fn look(
        &mut self,
        now: Instant,
        ours: Duration,
        frame: &Bytes,
    ) -> Option<(NodeId, Introduction)> {
        // Before it is read: anybody may send any number of them.
        if now < self.next {
            return None;
        }
        let Ok(Decoded::Frame(frame)) = Frame::decode(frame, usize::MAX) else {
            return None;
        };
        if frame.header().first > 0 {
            return None;
        }
        self.next = now + ours / LOOKS;
        match frame.messages().next()? {
            (_, Ok(Message::Introduction(introduction))) => {
                Some((frame.header().origin, introduction))
            }
            _ => None,
        }
    }

    pub(super) fn difference(&self, node: NodeId, ours: &str) -> Option<Difference> {
        let UnprovenSender { name, unproven, .. } = self.named.get(&node)?;
        let theirs = match unproven {
            Unproven::Unsigned => "unsigned".into(),
            Unproven::UnknownKey(id) => format!("unknown-key:{id}"),
            Unproven::WrongTag => "wrong-signature".into(),
        };
        Some(Difference {
            node,
            name: name.clone(),
            setting: AgreedSetting::Signing,
            ours: ours.into(),
            theirs,
        })
    }

    /// The nodes that are named.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.named.keys().copied()
    }

    /// Names no longer who was not heard lately, and who is proven by now. True if any was named.
    pub(super) fn forget(&mut self, now: Instant, is_proven: impl Fn(NodeId) -> bool) -> bool {
        let before = self.named.len();
        self.named
            .retain(|node, sender| now <= sender.until && !is_proven(*node));
        self.named.len() != before
    }
}
