//! What clients are told: the JSON of the server's own messages.

use midplane::core::Delivered;
use midplane::id::{AgentId, OrgId, SessionId, TopicId, UserId};
use midplane::{ConnectionId, Reach, Receipt, Refusal, Relay};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answers::Counted;

/// A message of the server itself, told from events by its `midplane` key.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    #[serde(flatten)]
    body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "midplane", rename_all = "snake_case")]
pub(crate) enum Body<'a> {
    Welcome {
        connection: &'a ConnectionId,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a UserId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        org: Option<&'a OrgId>,
        reach: ReachWord,
    },
    Session {
        session: &'a SessionId,
        #[serde(skip_serializing_if = "Option::is_none")]
        agent: Option<&'a AgentId>,
        reach: ReachWord,
    },
    Joined {
        topic: &'a TopicId,
        reach: ReachWord,
    },
    Left {
        topic: &'a TopicId,
    },
    Published(Outcome),
    Pong,
    Error {
        code: &'a str,
        message: String,
    },
    Lost {
        count: u64,
    },
    Reach {
        reach: ReachWord,
    },
    Missed {
        events: u64,
        exact: bool,
        since_ms_ago: u64,
        until_ms_ago: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        targets: Option<Vec<String>>,
    },
    Closing {
        reason: &'a str,
        /// When to come back; `None` where the client is not to.
        #[serde(skip_serializing_if = "Option::is_none")]
        return_after_ms: Option<u64>,
    },
}

impl<'a> Body<'a> {
    /// The message that answers the request with this id.
    pub(crate) fn answering(self, id: Option<&'a RawValue>) -> String {
        let message = Message { body: self, id };
        serde_json::to_string(&message).unwrap_or_else(|_| unreachable!("every key is a string"))
    }

    /// The message, that answers nothing.
    pub(crate) fn unasked(self) -> String {
        self.answering(None)
    }
}

/// How far a client reaches: whether publishers on every node reach it, or only those on its own.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReachWord {
    Everywhere,
    Here,
}

impl From<Reach> for ReachWord {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Everywhere => Self::Everywhere,
            _ => Self::Here,
        }
    }
}

/// A receipt as clients see it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    accepted: usize,
    full: usize,
    closed: usize,
    panicked: usize,
    relay: &'static str,
    /// Why it was not relayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Receipt> for Outcome {
    fn from(receipt: Receipt) -> Self {
        Self::new(receipt.local, receipt.relay)
    }
}

impl Outcome {
    /// What came of an event on this node, and on its way to others.
    pub(crate) fn new(local: Delivered, relay: Relay) -> Self {
        let Delivered {
            accepted,
            full,
            closed,
            panicked,
            ..
        } = local;
        Self {
            accepted,
            full,
            closed,
            panicked,
            relay: match relay {
                Relay::NotConfigured => "not_configured",
                Relay::Queued => "queued",
                Relay::Refused(Refusal::Closed) => "refused_closed",
                _ => "refused",
            },
            reason: match relay {
                Relay::Refused(refusal) => Some(refusal.to_string()),
                _ => None,
            },
        }
    }
}

/// The answer to `POST /publish`.
#[derive(Debug, Serialize)]
pub(crate) struct Posted {
    /// The connections of this node that took it.
    delivered: usize,
    #[serde(flatten)]
    outcome: Outcome,
    /// The connections of every node that took it, where the publisher waited for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<Counted>,
}

impl Posted {
    pub(crate) fn new(local: Delivered, relay: Relay, confirmed: Option<Counted>) -> Self {
        Self {
            delivered: local.accepted,
            outcome: Outcome::new(local, relay),
            confirmed,
        }
    }
}
