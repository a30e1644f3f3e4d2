//! Questions to all nodes, and what they answer.

use alloc::vec::Vec;

use crate::audience::Audience;
use crate::event::Event;
use crate::node_id::NodeId;
use crate::receipt::{Delivered, Relay};
use crate::target::Target;

/// A question to every node about its connections, or a command for them.
///
/// The question concerns the connections of the audience, each once. A node that acts late acts all the same: a deadline
/// bounds the wait for the answer, and [`time_to_live`](crate::node::Config::time_to_live) how late a
/// question may arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// How many are there?
    Count(Audience),
    /// Detach them.
    Disconnect(Audience),
    /// Join them to the target. Those that may not, as [`AssociateError`](crate::AssociateError) says,
    /// are not counted.
    Associate(Audience, Target),
    /// Take them out of the target.
    Dissociate(Audience, Target),
    /// Deliver the event to them. It may overtake events that were published before, or be overtaken.
    Publish(Audience, Event),
}

impl Question {
    pub(crate) fn audience(&self) -> &Audience {
        match self {
            Self::Count(audience)
            | Self::Disconnect(audience)
            | Self::Associate(audience, _)
            | Self::Dissociate(audience, _)
            | Self::Publish(audience, _) => audience,
        }
    }
}

/// The answer of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The number of connections that there are, or that were detached, joined or taken out.
    Connections(usize),
    /// What became of the event.
    Delivered(Delivered),
}

/// The answers that came within the deadline, and the nodes that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the answers name the nodes that did not answer"]
#[non_exhaustive]
pub struct Answers {
    /// The answer of this node.
    pub here: Answer,
    /// The answers of other nodes.
    pub others: Vec<(NodeId, Answer)>,
    /// The nodes that were members when the question was asked and did not answer in time: what they have,
    /// did or did not do is not known.
    pub silent: Vec<NodeId>,
    /// What became of the question on its way to other nodes.
    pub relay: Relay,
    /// Whether this node was live all the while. If not, there may be nodes that are not even named.
    pub live: bool,
}

impl Answers {
    /// Whether every node answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let asked = matches!(self.relay, Relay::Queued | Relay::NotConfigured);
        self.silent.is_empty() && self.live && asked
    }

    /// The connections of all nodes that answered: that there are or were changed, or whose sinks accepted
    /// the event.
    #[must_use]
    pub fn connections(&self) -> usize {
        let answers = self.others.iter().map(|(_, answer)| answer);
        let counts = answers.chain([&self.here]).map(|answer| match answer {
            Answer::Connections(count) => *count,
            Answer::Delivered(delivered) => delivered.accepted,
        });
        counts.sum()
    }

    /// What became of the event on all nodes that answered; nothing but zeros if none was asked about.
    #[must_use]
    pub fn delivered(&self) -> Delivered {
        let answers = self.others.iter().map(|(_, answer)| answer);
        answers
            .chain([&self.here])
            .fold(Delivered::default(), |sum, answer| match answer {
                Answer::Connections(_) => sum,
                Answer::Delivered(delivered) => sum + *delivered,
            })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// Different counts everywhere, so that no two of them can stand in for each other.
    #[test]
    fn the_sum_of_the_answers_adds_each_verdict_up() {
        let delivered = |accepted, full, closed, panicked| {
            Answer::Delivered(Delivered {
                accepted,
                full,
                closed,
                panicked,
            })
        };
        let node = |number| NodeId([number; 16]);
        let answers = Answers {
            here: delivered(10, 20, 30, 40),
            others: vec![
                (node(1), delivered(1, 2, 3, 4)),
                (node(2), Answer::Connections(500)),
                (node(3), delivered(100, 200, 300, 400)),
            ],
            silent: Vec::new(),
            relay: Relay::Queued,
            live: true,
        };
        assert_eq!(
            Answer::Delivered(answers.delivered()),
            delivered(111, 222, 333, 444)
        );
        assert_eq!(answers.connections(), 611);
    }
}
