//! What a run of the protocol is held to beside the oracle's checks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use midplane::Target;
use midplane::envelope::NodeId;
use midplane::node::NodeCounters;

use super::faults::ProtocolFaults;
use crate::history::{Bounds, Exemptions, Fact, History, Record};

/// How long a node has to be live before every node that joins learns of it.
const ACQUAINTED: Duration = Duration::from_secs(1);

/// The age of a frame is counted from the fastest frame of its origin, which may have taken this long itself.
const FASTEST: Duration = Duration::from_secs(1);

/// What happened in a run of the protocol.
#[derive(Debug)]
pub struct ProtocolRun {
    /// What could go wrong.
    pub faults: ProtocolFaults,
    /// What happened.
    pub history: History,
    /// What the history is held to.
    pub bounds: Bounds,
    /// The counters of the nodes that lived to the end.
    pub counters: BTreeMap<NodeId, NodeCounters>,
    /// The number of messages of an unknown kind that the first node queued.
    pub unknown_kinds: u64,
    /// The number of frames of an unknown version that the first node sent.
    pub unknown_versions: u64,
}

impl ProtocolRun {
    /// Judges the run, and returns what is exempt.
    ///
    /// # Panics
    /// When a promise is broken; the message says which.
    pub fn assert_holds(&self) -> Exemptions {
        let exemptions = self.history.assert_holds(&self.bounds);
        self.nothing_is_stale();
        self.numbers_rise_and_what_expired_is_counted();
        let mut nodes = BTreeMap::<NodeId, Vec<&Record>>::new();
        for record in &self.history.records {
            if let Fact::Started(node)
            | Fact::State { node, .. }
            | Fact::Deaf { node, .. }
            | Fact::Gap { node, .. }
            | Fact::Joined { node, .. }
            | Fact::Crashed(node) = record.fact
            {
                nodes.entry(node).or_default().push(record);
            }
        }
        let only = |faults: ProtocolFaults| self.faults == faults;
        for (node, reports) in &nodes {
            every_outage_is_reported(*node, reports);
            if only(ProtocolFaults {
                crashes: true,
                ..ProtocolFaults::NONE
            }) {
                everyone_is_known(*node, &nodes);
            }
            if only(ProtocolFaults {
                mixed: true,
                ..ProtocolFaults::NONE
            }) {
                self.what_is_unknown_is_counted(*node, reports);
            }
        }
        exemptions
    }

    /// No event arrives later than its time to live.
    fn nothing_is_stale(&self) {
        let mut sent = HashMap::new();
        let mut nodes = HashMap::new();
        let mut origins = HashMap::new();
        for record in &self.history.records {
            match record.fact {
                Fact::Attaching {
                    attachment, node, ..
                } => drop(nodes.insert(attachment, node)),
                Fact::Publishing { tag, node, .. } => drop(origins.insert(tag, node)),
                Fact::Sent { tag: Some(tag), .. } => drop(sent.insert(tag, record.at)),
                Fact::Delivered {
                    attachment,
                    tag: Some(tag),
                    ..
                } if nodes[&attachment] != origins[&tag] => {
                    let age = record.at - sent[&tag];
                    let most = self.bounds.time_to_live + FASTEST;
                    assert!(age <= most, "event {tag} arrived at an age of {age:?}");
                }
                _ => {}
            }
        }
    }

    /// No number is used twice, and each that no message was sent under is counted as expired.
    fn numbers_rise_and_what_expired_is_counted(&self) {
        let mut last = HashMap::new();
        let mut expired = HashMap::<NodeId, u64>::new();
        let mut unsent = HashMap::<NodeId, i64>::new();
        for record in &self.history.records {
            match record.fact {
                Fact::Publishing { node, .. } => *unsent.entry(node).or_default() += 1,
                Fact::Sent {
                    origin,
                    lane,
                    number,
                    tag,
                    ..
                } => {
                    *unsent.entry(origin).or_default() -= i64::from(tag.is_some());
                    let before = last.insert((origin, lane), number).unwrap_or(0);
                    assert!(before < number, "{origin:?} used {number} twice");
                    *expired.entry(origin).or_default() += number - before - 1;
                }
                _ => {}
            }
        }
        for (node, counters) in &self.counters {
            let skipped = expired.get(node).copied().unwrap_or(0);
            assert_eq!(skipped, counters.expired, "what {node:?} did not send");
            let unsent = unsent.get(node).copied().unwrap_or(0);
            assert!(unsent <= counters.expired as i64, "{node:?} forgot events");
        }
    }

    /// On a perfect bus, each frame and message of a later release is skipped and counted, and nothing else.
    fn what_is_unknown_is_counted(&self, node: NodeId, reports: &[&Record]) {
        let counters = &self.counters[&node];
        assert_eq!(counters.unknown_versions, self.unknown_versions);
        let first = self.counters.keys().next() == Some(&node);
        let kinds = if first { 0 } else { self.unknown_kinds };
        assert_eq!(counters.unknown_kinds, kinds);
        let skipped = self.unknown_numbers();
        let mut missing = 0;
        for record in reports {
            if let Fact::Gap {
                origin,
                lane,
                first,
                last,
                ..
            } = record.fact
            {
                missing += last - first + 1;
                let mut numbers = first..=last;
                let known = numbers.find(|number| !skipped.contains(&(origin, lane, *number)));
                assert_eq!(known, None, "{node:?} lost a message of a known kind");
            }
        }
        assert_eq!(missing, counters.unknown_kinds);
    }

    /// The origin, lane and number of each message of an unknown kind: those that are for no topic.
    fn unknown_numbers(&self) -> HashSet<(NodeId, u32, u64)> {
        let mut unknown = HashSet::new();
        let mut numbers = HashSet::new();
        for record in &self.history.records {
            match &record.fact {
                Fact::Publishing { tag, audience, .. } => {
                    let mut targets = audience.targets();
                    if targets.any(|target| matches!(target, Target::Connection(_))) {
                        unknown.insert(*tag);
                    }
                }
                Fact::Sent {
                    origin,
                    lane,
                    number,
                    tag: Some(tag),
                    ..
                } if unknown.contains(tag) => {
                    numbers.insert((*origin, *lane, *number));
                }
                _ => {}
            }
        }
        numbers
    }
}

/// After each outage the node reports the whole of it as deafness: no number
/// accounts for what a node published that has crashed since.
fn every_outage_is_reported(node: NodeId, reports: &[&Record]) {
    let states: Vec<(Duration, bool)> = reports
        .iter()
        .filter_map(|record| match record.fact {
            Fact::State { live, .. } => Some((record.at, live)),
            _ => None,
        })
        .collect();
    for outage in states.windows(2) {
        let [(down, false), (up, true)] = *outage else {
            continue;
        };
        let reported = reports.iter().any(|record| match record.fact {
            Fact::Deaf {
                origin: None,
                since,
                until,
                ..
            } => since <= down && up <= until,
            _ => false,
        });
        assert!(reported, "{node:?} was down and does not report it");
    }
}

/// On a perfect bus, a node knows every other that was live for a while when it is live itself.
fn everyone_is_known(node: NodeId, nodes: &BTreeMap<NodeId, Vec<&Record>>) {
    let find = |node: NodeId, fact: Fact| {
        let mut reports = nodes[&node].iter();
        let found = reports.find(|record| record.fact == fact);
        found.map(|record| record.at)
    };
    let live_since = |node| find(node, Fact::State { node, live: true });
    let Some(live) = live_since(node) else {
        return;
    };
    for origin in nodes.keys().copied().filter(|origin| *origin != node) {
        let acquainted = live_since(origin).is_some_and(|since| since + ACQUAINTED < live);
        let gone = find(origin, Fact::Crashed(origin)).is_some_and(|crashed| crashed <= live);
        if acquainted && !gone {
            let joined = find(node, Fact::Joined { node, origin });
            let known = joined.is_some_and(|joined| joined <= live);
            assert!(known, "{node:?} is live and does not know {origin:?}");
        }
    }
}
