//! What a client may do: its requests, carried out and answered.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::FutureExt;
use midplane::core::{Associate, MissedLanes};
use midplane::id::{AgentId, SessionId, TopicId};
use midplane::{
    AssociateError, AttachOptions, Attachment, Audience, Connection, Instant, Missed, Reach,
    Refusal, Relay, Target,
};
use serde_json::value::RawValue;

use crate::identity::{self, Identity, NoEntropy};
use crate::message::Body;
use crate::request::{self, ExcludeSelf, Malformed, Publish, Request};
use crate::state::App;

/// One attached client. The connection that its pump has detaches it.
pub(crate) struct Client {
    pub(crate) app: Arc<App>,
    pub(crate) attachment: Arc<Attachment>,
    pub(crate) identity: Identity,
    /// Whether the client was told last that publishers on every node reach it in all its targets.
    everywhere: AtomicBool,
}

/// The most targets that a report of missed events names. One of more targets names none, and is about all.
const NAMED: usize = 64;

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
    /// Attaches a connection of a new id, and gives it with its client: from here on events reach its mailbox.
    pub(crate) fn attach(
        app: Arc<App>,
        identity: Identity,
    ) -> Result<(Connection, Arc<Self>), NoEntropy> {
        let options = AttachOptions::new()
            .id(identity::new_connection()?)
            .capacity(app.config.capacity())
            .overflow(app.config.overflow())
            .budget(app.backlog.clone());
        let connection = app.front.attach_with(options);
        let client = Self {
            attachment: connection.attachment().clone(),
            app,
            identity,
            everywhere: AtomicBool::new(true),
        };
        Ok((connection, Arc::new(client)))
    }

    /// Joins the user and the org that the client is, and gives the first message that the client gets,
    /// or nothing where it may not stay. Nothing a client asks for joins either.
    pub(crate) async fn welcome(&self) -> Option<String> {
        let reach = match self.identify().await {
            Ok(reach) => reach,
            // A drain has begun; the mailbox has ended and the client will be told.
            Err(AssociateError::Detached) => Reach::Here,
            Err(error) => {
                tracing::error!(%error, "client not identified");
                return None;
            }
        };
        let body = Body::Welcome {
            connection: self.attachment.id(),
            user: self.identity.user.as_ref(),
            org: self.identity.org.as_ref(),
            reach: reach.into(),
        };
        Some(body.unasked())
    }

    async fn identify(&self) -> Result<Reach, AssociateError> {
        let user = self.identity.user.clone().map(Target::User);
        let org = self.identity.org.clone().map(Target::Org);
        let own = Target::Connection(self.attachment.id().clone());
        let mut reach = self.reach(self.attachment.await_reach(&own)).await?;
        for target in [user, org].into_iter().flatten() {
            let next = self.reach(self.attachment.associate(&target)).await?;
            reach = narrower(reach, next);
        }
        Ok(reach)
    }

    /// How far an association reaches: it is waited for only while the node is live. The connection's
    /// [`ConnectionReach`](crate::connection_reach::ConnectionReach) has its task woken when that changes.
    async fn reach(&self, mut associate: Associate) -> Result<Reach, AssociateError> {
        let live = &self.app.live;
        let outcome = poll_fn(|context| match associate.poll_unpin(context) {
            Poll::Pending if !live.is_live() => Poll::Ready(Ok(Reach::Here)),
            outcome => outcome,
        });
        let reach = match outcome.await? {
            Reach::Everywhere if live.is_live() => Reach::Everywhere,
            _ => self.says(Reach::Here),
        };
        Ok(reach)
    }

    /// Whether the client was told last that publishers on every node reach it in all its targets.
    pub(crate) fn reaches_everywhere(&self) -> bool {
        self.everywhere.load(Ordering::Relaxed)
    }

    /// Remembers what the client is being told of all its targets.
    pub(crate) fn says(&self, reach: Reach) -> Reach {
        let everywhere = reach == Reach::Everywhere;
        self.everywhere.store(everywhere, Ordering::Relaxed);
        reach
    }

    /// The message that events are lost, which is counted.
    pub(crate) fn lost(&self, count: u64) -> String {
        self.app.counts.lose(count);
        Body::Lost { count }.unasked()
    }

    /// The message that the client may have missed events, which is counted, by age on the clock of the server.
    pub(crate) fn missed(&self, missed: &Missed) -> String {
        self.app.counts.miss(missed.events);
        let now = self.app.runtime.timer.now();
        let age = |at: Instant| (now - at).as_millis().try_into().unwrap_or(u64::MAX);
        let body = Body::Missed {
            events: missed.events,
            exact: missed.exact,
            since_ms_ago: age(missed.since),
            until_ms_ago: age(missed.until),
            targets: self.targets_on(&missed.lanes),
        };
        body.unasked()
    }

    /// The targets of the client that lie on these lanes; `None` for all that it is or was in.
    fn targets_on(&self, lanes: &MissedLanes) -> Option<Vec<String>> {
        if lanes.concern_everyone() {
            return None;
        }
        let (map, scope) = (self.app.lanes, self.attachment.scope());
        let mut targets = self.attachment.targets();
        targets.retain(|target| lanes.contains(map.lane(scope, &target.clone().into())));
        let named = (1..=NAMED).contains(&targets.len());
        named.then(|| targets.iter().map(Target::to_string).collect())
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
            Request::Ping => Ok(Body::Pong.answering(id)),
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
        let mut reach = self.reach(self.attachment.associate(&target)).await?;
        if let Some(agent) = &agent {
            let joined = self.attachment.associate(&Target::Agent(agent.clone()));
            match self.reach(joined).await {
                Ok(next) => reach = narrower(reach, next),
                Err(error) => {
                    if !was_in {
                        self.attachment.dissociate(&target);
                    }
                    return Err(error.into());
                }
            }
        }
        let body = Body::Session {
            session: &session,
            agent: agent.as_ref(),
            reach: reach.into(),
        };
        Ok(body.answering(id))
    }

    /// Joins a topic that a connection without requests is to be in from the start, and gives what it is told of it; or the
    /// code and the words of a refusal.
    pub(crate) async fn follow(&self, topic: TopicId) -> Result<String, (&'static str, String)> {
        let joined = self.join(topic, None).await;
        joined.map_err(|Refused { code, message }| (code, message))
    }

    async fn join(&self, topic: TopicId, id: Option<&RawValue>) -> Result<String, Refused> {
        let joined = self.attachment.associate(&Target::Topic(topic.clone()));
        let body = Body::Joined {
            topic: &topic,
            reach: self.reach(joined).await?.into(),
        };
        Ok(body.answering(id))
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

/// How far two associations reach together.
fn narrower(one: Reach, other: Reach) -> Reach {
    match (one, other) {
        (Reach::Everywhere, Reach::Everywhere) => Reach::Everywhere,
        _ => Reach::Here,
    }
}

fn error(code: &str, message: String, id: Option<&RawValue>) -> String {
    Body::Error { code, message }.answering(id)
}
