//! Questions to all nodes, and what they answer.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use async_trait::async_trait;

use crate::audience::Audience;
use crate::backplane::{Backplane, Relay};
use crate::envelope::NodeId;
use crate::event::Event;
use crate::registry::Delivered;
use crate::target::Target;

/// What every node is asked about the connections it has, or told to do with them.
///
/// It concerns those of the audience, each once. A node that does it late does it all the same: a deadline
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

/// What one node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// So many connections there are, or were detached, joined or taken out.
    Connections(usize),
    /// What became of the event.
    Delivered(Delivered),
}

/// What all nodes answered within the deadline, and who did not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the answers name the nodes that did not answer"]
#[non_exhaustive]
pub struct Answers {
    /// What this node answered.
    pub here: Answer,
    /// What other nodes answered.
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

/// [`Backplane::ask`] by the name of what is asked. Every [`Backplane`] has it.
///
/// ```
/// use core::time::Duration;
/// use midplane::{Ask, Backplane, Event, Local, Target};
///
/// # futures::executor::block_on(async {
/// let plane = Local::new();
/// let ada = Target::user("ada")?.into();
/// let answers = plane
///     .publish_confirmed(&ada, &Event::text("are you there?"), Duration::from_millis(500))
///     .await;
/// if answers.is_complete() && answers.connections() == 0 {
///     // Nobody is online anywhere: send a push notification instead.
/// }
/// # Ok::<(), midplane::IdError>(())
/// # }).unwrap();
/// ```
#[async_trait]
pub trait Ask: Backplane {
    /// How many connections there are in the audience, and on which nodes.
    async fn count(&self, audience: &Audience, deadline: Duration) -> Answers {
        self.ask(Question::Count(audience.clone()), deadline).await
    }

    /// Detaches the connections of the audience on every node.
    async fn disconnect(&self, audience: &Audience, deadline: Duration) -> Answers {
        let question = Question::Disconnect(audience.clone());
        self.ask(question, deadline).await
    }

    /// Joins the connections of the audience to the target, on whichever node they are.
    async fn associate(&self, audience: &Audience, target: &Target, deadline: Duration) -> Answers {
        let question = Question::Associate(audience.clone(), target.clone());
        self.ask(question, deadline).await
    }

    /// Takes the connections of the audience out of the target, on whichever node they are.
    async fn dissociate(
        &self,
        audience: &Audience,
        target: &Target,
        deadline: Duration,
    ) -> Answers {
        let question = Question::Dissociate(audience.clone(), target.clone());
        self.ask(question, deadline).await
    }

    /// Publishes the event and tells who took it, who had no room, and which nodes did not say.
    async fn publish_confirmed(
        &self,
        audience: &Audience,
        event: &Event,
        deadline: Duration,
    ) -> Answers {
        let question = Question::Publish(audience.clone(), event.clone());
        self.ask(question, deadline).await
    }
}

impl<B: Backplane + ?Sized> Ask for B {}
