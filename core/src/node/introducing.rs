//! Who this node is to the others, and how they are set.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::Node;
use super::news::News;
use super::peer::{Peer, Standing};
use crate::envelope::{Heartbeat, Introduction, MAX_BROKER, MAX_NAME, Unproven};
use crate::member::{AgreedSetting, Difference, KnownNode};
use crate::node_id::NodeId;
use crate::time::Instant;

/// The most differences that are told of, and kept, at once.
const SAID: usize = 4_096;

/// For how many of its heartbeats a node of another cluster, or one that drops what this one sends, is named after it was
/// heard last.
const FOREIGN: u32 = 10;

impl Node {
    /// Says from now on the node's name for people and the name of its cluster, of each 64 bytes and no control
    /// characters, and whether the node is subscribed to the lane of external publishers.
    ///
    /// Nothing of a node is taken that says another name of the cluster; no name agrees with every other.
    pub fn introduce(&mut self, name: &str, cluster: &str, json_lane: bool) {
        self.introduction.name = Introduction::text(name, MAX_NAME);
        self.introduction.cluster = Introduction::text(cluster, MAX_NAME);
        self.introduction.settings.json_lane = json_lane;
    }

    /// Says from now on which broker the node is connected to, in 128 bytes.
    pub fn connected_to(&mut self, broker: &str) {
        self.introduction.broker = Introduction::text(broker, MAX_BROKER);
    }

    /// The other nodes that are members, as they say they are.
    pub fn known_nodes(&self) -> impl Iterator<Item = KnownNode> {
        let members = self.reception.peers.members();
        members.map(|(id, peer)| known(id, peer))
    }

    /// Whether what is known of other nodes changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// The settings in which members differ from this node, and the other clusters on the bus, by setting.
    pub(super) fn differences(&self, now: Instant) -> Vec<Difference> {
        let mut all: Vec<Difference> = Vec::new();
        for (id, peer) in self.reception.peers.iter() {
            let every = peer.every(self.config.heartbeat);
            let apart = peer.foreign || self.is_refused_by(peer);
            let lately = apart && now - peer.heard <= every * FOREIGN;
            if peer.is_member() || lately {
                all.extend(self.differences_of(id, peer));
            }
        }
        all.extend(self.unproven_differences());
        all.sort_by_key(|difference| difference.setting);
        all
    }

    /// The origin introduces itself in a frame that is stamped `sent`. False if nothing of the origin is to be taken.
    pub(super) fn take_introduction(
        &mut self,
        origin: NodeId,
        sent: Duration,
        introduction: Introduction,
    ) -> bool {
        let ours = &self.introduction.cluster;
        let foreign = !introduction.cluster.is_empty() && !ours.is_empty();
        let foreign = foreign && introduction.cluster != *ours;
        let Some(peer) = self.reception.peers.get_mut(origin) else {
            return false;
        };
        if peer.introduction.as_deref() == Some(&introduction)
            || peer.beat.is_some_and(|(newest, _)| sent < newest)
        {
            return !peer.foreign;
        }
        // What was believed of a member is not unsaid by a frame that anybody may have sent.
        peer.foreign = foreign && !peer.proven;
        peer.introduction = Some(Box::new(introduction));
        self.changed = true;
        let (foreign, proven) = (peer.foreign, peer.proven);
        self.bridge(origin);
        let peer = self.reception.peers.get(origin);
        if foreign || proven || peer.is_some_and(|peer| self.is_refused_by(peer)) {
            self.say_differences(origin);
        }
        !foreign
    }

    /// Sends every event on lane 0 from now on if the node has another number of lanes, or each on its own again. A newcomer
    /// counts before it is proven to live: once it is live what was sent on other lanes would be lost to it.
    pub(super) fn bridge(&mut self, node: NodeId) {
        let ours = self.config.lanes;
        let differs = self.reception.peers.get(node).is_some_and(|peer| {
            let introduction = peer.introduction.as_ref();
            let differs = introduction.is_some_and(|said| said.settings.lanes != ours);
            differs && !peer.foreign && peer.standing != Standing::Left
        });
        self.reception.peers.set_differing(node, differs);
    }

    /// A node with another number of lanes reports, in a heartbeat, what it sent on lanes that are not ours: it did not
    /// know of us yet.
    pub(super) fn report_other_lanes(
        &mut self,
        now: Instant,
        origin: NodeId,
        heartbeat: &Heartbeat,
    ) {
        let ours = self.config.lanes;
        let since = self.reception.lanes.first().max(self.lived);
        let (Some(since), Some(peer)) = (since, self.reception.peers.get_mut(origin)) else {
            return;
        };
        let introduction = peer.introduction.as_ref();
        if !peer.proven || introduction.is_none_or(|said| said.settings.lanes == ours) {
            return;
        }
        let others = heartbeat.lanes.iter().filter(|lane| lane.lane != 0);
        let newest = others.map(|lane| lane.at).max().unwrap_or_default();
        let known = peer.other_lanes.max(peer.clock.theirs(since));
        if newest > known {
            let begin = peer.clock.ours_at_least(known);
            let end = peer
                .clock
                .ours_at_most(newest)
                .map_or(now, |end| end.min(now));
            peer.other_lanes = newest;
            self.reception.news.deaf(Some(origin), None, (begin, end));
        }
    }

    /// Tells anew in which settings the node differs, when it comes back.
    pub(super) fn unsay_differences(&mut self, node: NodeId) {
        let said = self.said.range((node, AgreedSetting::Lanes)..);
        let said: Vec<_> = said.take_while(|(of, _)| *of == node).copied().collect();
        for said in said {
            self.said.remove(&said);
        }
    }

    /// Tells in which settings the node differs, each once.
    pub(super) fn say_differences(&mut self, origin: NodeId) {
        let Some(peer) = self.reception.peers.get(origin) else {
            return;
        };
        for difference in self.differences_of(origin, peer) {
            let said = (origin, difference.setting);
            if self.said.len() < SAID && self.said.insert(said) {
                self.reception.news.push(News::Differs(difference));
            }
        }
    }

    /// A frame was dropped for want of a signature. Where signatures are required its sender is named, unless the node that
    /// it names is a member, and so another sends in its name.
    pub(super) fn drop_unproven(&mut self, now: Instant, frame: &Bytes, unproven: Unproven) {
        let ours = self.config.heartbeat;
        if !self.gate.requires() {
            return;
        }
        let Some((node, introduction)) = self.unproven.look(now, ours, frame) else {
            return;
        };
        let peer = self.reception.peers.get(node);
        if node == self.id || peer.is_some_and(|peer| peer.proven) {
            return;
        }
        let introduced = (node, introduction);
        if self.unproven.came(now, ours, introduced, unproven) {
            self.changed = true;
            if let Some(said) = self.unproven.difference(node, &self.signing()) {
                self.reception.news.push(News::Differs(said));
            }
        }
    }

    /// What is wrong with the frames that were dropped lately, by the nodes that they name.
    pub(super) fn unproven_differences(&self) -> Vec<Difference> {
        let nodes = self.unproven.nodes();
        nodes
            .filter_map(|node| self.unproven.difference(node, &self.signing()))
            .collect()
    }

    /// Names no longer who was not heard lately, or is proven by now.
    pub(super) fn forget_unproven(&mut self, now: Instant) {
        let peers = &self.reception.peers;
        let is_proven = |node| peers.get(node).is_some_and(|peer| peer.proven);
        self.changed |= self.unproven.forget(now, is_proven);
    }

    /// Whether a node that is heard drops what this one sends, as it says.
    pub(super) fn is_refused_by(&self, peer: &Peer) -> bool {
        let ours = self.introduction.settings.signing;
        let said = peer.introduction.as_ref();
        let theirs = said.and_then(|said| said.settings.signing);
        theirs
            .zip(ours)
            .is_some_and(|(theirs, ours)| theirs.refuses(&ours))
    }

    fn signing(&self) -> String {
        let signing = self.introduction.settings.signing;
        signing.map_or_else(String::new, |signing| signing.to_string())
    }

    fn differences_of(&self, node: NodeId, peer: &Peer) -> Vec<Difference> {
        let Some(theirs) = peer.introduction.as_deref() else {
            return Vec::new();
        };
        let differs = |setting, ours: String, theirs: String| {
            let name = peer.name(node);
            (ours != theirs).then_some(Difference {
                node,
                name,
                setting,
                ours,
                theirs,
            })
        };
        let ours = &self.introduction;
        if peer.foreign {
            let clusters = (ours.cluster.clone(), theirs.cluster.clone());
            let cluster = differs(AgreedSetting::Cluster, clusters.0, clusters.1);
            return cluster.into_iter().collect();
        }
        let (ours, theirs) = (ours.settings, theirs.settings);
        let signing = ours.signing.zip(theirs.signing);
        let signing = signing.and_then(|(ours, theirs)| {
            differs(AgreedSetting::Signing, ours.to_string(), theirs.to_string())
        });
        let word = |on: bool| if on { "on" } else { "off" }.to_owned();
        let time = |time: Duration| format!("{time:?}");
        [
            differs(
                AgreedSetting::Lanes,
                ours.lanes.to_string(),
                theirs.lanes.to_string(),
            ),
            differs(
                AgreedSetting::Heartbeat,
                time(ours.heartbeat),
                time(theirs.heartbeat),
            ),
            differs(
                AgreedSetting::TimeToLive,
                time(ours.time_to_live),
                time(theirs.time_to_live),
            ),
            differs(
                AgreedSetting::JsonLane,
                word(ours.json_lane),
                word(theirs.json_lane),
            ),
        ]
        .into_iter()
        .flatten()
        .chain(signing)
        .collect()
    }
}

fn known(id: NodeId, peer: &Peer) -> KnownNode {
    let introduction = peer.introduction.as_deref();
    KnownNode {
        id,
        name: peer.name(id),
        version: peer.version.clone(),
        broker: introduction.map_or_else(String::new, |said| said.broker.clone()),
        settings: introduction.map(|said| said.settings),
        silent: peer.mutual.silent,
        deaf: peer.mutual.deaf,
    }
}
