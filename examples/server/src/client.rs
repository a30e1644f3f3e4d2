//! What a client may do: its requests, carried out and answered.

use std::sync::Arc;

use midplane::{
    AgentId, AssociateError, Attachment, Audience, Refusal, Relay, SessionId, Target, TopicId,
};
use serde_json::value::RawValue;

use crate::identity::{self, Identity};
use crate::message::Body;
use crate::request::{self, ExcludeSelf, Malformed, Publish, Request};
use crate::state::App;

/// One attached client. Dropping it detaches.
pub(crate) struct Client {
    pub(crate) app: Arc<App>,
    pub(crate) attachment: Attachment,
    pub(crate) identity: Identity,
}

/// Why a request was not carried out. It left nothing behind.
struct Refused {
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<AssociateError> for Refused {
    fn from(error: AssociateError) -> Self {
        let code = match error {
            AssociateError::TooMany { .. } => "too_many_targets",
            AssociateError::Detached => "closing",
            _ => "not_allowed",
        };
        Self::new(code, error.to_string())
    }
}

impl Client {
    /// Joins the user and the org that the client is, and gives the first message that the client gets,
    /// or nothing where it may not stay. Nothing a client asks for joins either.
    pub(crate) async fn welcome(&self) -> Option<String> {
        match self.identify().await {
            // A drain has begun; the mailbox has ended and the client will be told.
            Ok(()) | Err(AssociateError::Detached) => {}
            Err(error) => {
                tracing::error!(%error, "client not identified");
                return None;
            }
        }
        let body = Body::Welcome {
            connection: self.attachment.id(),
            user: self.identity.user.as_ref(),
            org: self.identity.org.as_ref(),
        };
        Some(body.unasked())
    }

    async fn identify(&self) -> Result<(), AssociateError> {
        if let Some(user) = &self.identity.user {
            self.attachment
                .associate(&Target::User(user.clone()))
                .await?;
        }
        if let Some(org) = &self.identity.org {
            self.attachment.associate(&Target::Org(org.clone())).await?;
        }
        Ok(())
    }

    /// Carries out the request in `text` and gives the answer.
    pub(crate) async fn answer(&self, text: &str) -> String {
        let (request, id) = match request::parse(text) {
            Ok(parsed) => parsed,
            Err(Malformed { id, fault }) => {
                return error(fault.code(), fault.to_string(), id);
            }
        };
        let outcome = match request {
            Request::CreateSession { agent } => self.create_session(agent, id).await,
            Request::ResumeSession { session, agent } => match identity::session(&session) {
                Some(session) => self.enter(session, agent, id).await,
                None => Err(Refused::new(
                    "invalid",
                    "a session is 32 lower-case hex digits, as create_session gives it",
                )),
            },
            Request::Join { topic } => self.join(topic, id).await,
            Request::Leave { topic } => Ok(self.leave(&topic, id)),
            Request::Publish(publish, exclude) => self.publish(&publish, exclude, id),
        };
        outcome.unwrap_or_else(|Refused { code, message }| error(code, message, id))
    }

    /// The answer to a message that is not text.
    pub(crate) fn refuse_binary(&self) -> String {
        error("binary", "a request is a text message".into(), None)
    }

    async fn create_session(
        &self,
        agent: Option<AgentId>,
        id: Option<&RawValue>,
    ) -> Result<String, Refused> {
        match identity::new_session() {
            Ok(session) => self.enter(session, agent, id).await,
            Err(error) => Err(Refused::new("internal", error.to_string())),
        }
    }

    /// Joins the session and the agent: both, or on an error neither.
    async fn enter(
        &self,
        session: SessionId,
        agent: Option<AgentId>,
        id: Option<&RawValue>,
    ) -> Result<String, Refused> {
        let target = Target::Session(session.clone());
        let was_in = self.is_in(&target);
        self.attachment.associate(&target).await?;
        if let Some(agent) = &agent
            && let Err(error) = self
                .attachment
                .associate(&Target::Agent(agent.clone()))
                .await
        {
            if !was_in {
                self.attachment.dissociate(&target);
            }
            return Err(error.into());
        }
        let body = Body::Session {
            session: &session,
            agent: agent.as_ref(),
        };
        Ok(body.answering(id))
    }

    async fn join(&self, topic: TopicId, id: Option<&RawValue>) -> Result<String, Refused> {
        self.attachment
            .associate(&Target::Topic(topic.clone()))
            .await?;
        Ok(Body::Joined { topic: &topic }.answering(id))
    }

    /// Leaving a topic it is not in is answered like leaving one it is in: after both it is not.
    fn leave(&self, topic: &TopicId, id: Option<&RawValue>) -> String {
        let target = Target::Topic(topic.clone());
        self.attachment.dissociate(&target);
        Body::Left { topic }.answering(id)
    }

    fn publish(
        &self,
        publish: &Publish<'_>,
        ExcludeSelf(exclude): ExcludeSelf,
        id: Option<&RawValue>,
    ) -> Result<String, Refused> {
        if !self.is_in(&publish.target) {
            if !self.attachment.is_attached() {
                return Err(AssociateError::Detached.into());
            }
            let kind = publish.target.kind().as_str();
            let message =
                format!("a client publishes to targets it is in, and it is not in this {kind}");
            return Err(Refused::new("not_allowed", message));
        }
        let mut audience = Audience::from(publish.target.clone());
        if exclude {
            audience = audience.except(self.attachment.id().clone());
        }
        let receipt = self.app.publish(&audience, &publish.event());
        if receipt.relay == Relay::Refused(Refusal::Closed) {
            return Err(Refused::new("closing", "the server is shutting down"));
        }
        Ok(Body::Published(receipt.into()).answering(id))
    }

    fn is_in(&self, target: &Target) -> bool {
        self.attachment.is_in(target)
    }
}

fn error(code: &str, message: String, id: Option<&RawValue>) -> String {
    Body::Error { code, message }.answering(id)
}
