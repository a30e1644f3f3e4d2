//! The questions to all nodes by name.

use alloc::boxed::Box;
use core::time::Duration;

use async_trait::async_trait;

use crate::audience::Audience;
use crate::backplane::Backplane;
use crate::event::Event;
use crate::question::{Answers, Question};
use crate::target::Target;

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

    /// Publishes the event and counts the sinks that took it and that had no room; names the nodes that did not answer.
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
