//! What operators ask for of the notices of the backplane.

use std::collections::VecDeque;
use std::time::Duration;

use midplane::Instant;
use midplane::core::envelope::NodeId;

/// For how long a node that went silent is shown, and how many are.
const SHOWN: Duration = Duration::from_secs(600);
const NODES: usize = 64;

/// What the notices of the backplane say: the last state and reason, and how many links ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoticeLog {
    /// When the state changed last, on the runtime's clock.
    pub(crate) since: Instant,
    /// Why the last link with the bus ended or was not opened.
    pub(crate) bus: Option<String>,
    /// Links that ended or were not opened.
    pub(crate) failures: u64,
    /// The nodes that went silent without a goodbye, and when they did.
    gone: VecDeque<(NodeId, Instant)>,
}

impl NoticeLog {
    /// Remembers that a node was not heard for too long.
    pub(crate) fn fell_silent(&mut self, node: NodeId, now: Instant) {
        self.spoke(node);
        if self.gone.len() == NODES {
            self.gone.pop_front();
        }
        self.gone.push_back((node, now));
    }

    /// Forgets that a node was silent: it came back, or said goodbye.
    pub(crate) fn spoke(&mut self, node: NodeId) {
        self.gone.retain(|(other, _)| *other != node);
    }

    /// The nodes that went silent lately, and since when.
    pub(crate) fn silent(&self, now: Instant) -> impl Iterator<Item = (NodeId, Instant)> + '_ {
        let gone = self.gone.iter().copied();
        gone.filter(move |(_, since)| now - *since <= SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_nodes_that_went_silent_are_shown_for_a_while() {
        let mut notices = NoticeLog::default();
        let at = |seconds| Instant::from_origin(Duration::from_secs(seconds));
        let node = |number: usize| NodeId([u8::try_from(number).unwrap(); 16]);
        for number in 0..=NODES {
            notices.fell_silent(node(number), at(number as u64));
        }
        let shown = |notices: &NoticeLog, now| notices.silent(at(now)).count();
        assert_eq!(shown(&notices, 64), NODES);
        notices.spoke(node(7));
        notices.fell_silent(node(8), at(64));
        assert_eq!(shown(&notices, 64), NODES - 1);
        assert_eq!(shown(&notices, 664), 2);
        assert_eq!(shown(&notices, 665), 0);
    }
}
