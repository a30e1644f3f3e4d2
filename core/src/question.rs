//! Questions to all nodes, and what they answer.

use alloc::vec::Vec;

use crate::audience::Audience;
use crate::event::Event;
use crate::node_id::NodeId;
use crate::receipt::{Delivered, Relay};
use crate::target::Target;

/// A question to every node: to count, change or deliver to the connections of an audience.
///
/// The question concerns the connections of the audience, each once. A deadline bounds only the wait for answers: a node
/// whose answer comes too late has carried the question out all the same, unless the question itself arrived later than
/// the [time to live](crate::node::Config::time_to_live).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// Counts the connections of the audience.
    Count(Audience),
    /// Detaches the connections of the audience.
    Disconnect(Audience),
    /// Associates the connections of the audience with the target. A connection that cannot be associated, see
    /// [`AssociateError`](crate::AssociateError), is not counted.
    Associate(Audience, Target),
    /// Dissociates the connections of the audience from the target.
    Dissociate(Audience, Target),
    /// Delivers the event to the connections of the audience. It may overtake events that were published before, or be overtaken.
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
    /// The number of connections that there are, or that were detached, associated or dissociated.
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
    /// The nodes that were members when the question was asked and did not answer within the deadline. They may or may
    /// not have carried it out.
    pub silent: Vec<NodeId>,
    /// What became of the question on its way to other nodes.
    pub relay: Relay,
    /// Whether this node was [live](crate::State::Live) from the question until the answers. If not, nodes may be missing
    /// from `others` and `silent`.
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

    /// What became of the event on all nodes that answered; zeros if the question was not [`Question::Publish`].
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
    fn the_sums_of_the_answers_add_up_each_count() {
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
