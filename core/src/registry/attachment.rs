//! A live connection in the registry, as its owner holds it.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::channel::oneshot;

use super::connection::{Connection, Latch, Member};
use super::end::ConnectionEnd;
use super::key::KeyRef;
use super::verdict::{Deliver, Verdict};
use crate::bus::Lane;
use crate::event::Event;
use crate::target::{ConnectionId, Scope, Target};
use crate::time::Instant;

/// The registry, as an attachment calls it.
pub(crate) trait Membership: Send + Sync {
    /// How far the target reaches, and whether the connection was not in it before.
    fn associate(
        &self,
        scope: &Scope,
        member: &Member,
        target: &Target,
    ) -> Result<(ReachAnswer, bool), AssociateError>;
    fn dissociate(&self, scope: &Scope, member: &Member, target: &Target) -> bool;
    fn is_in(&self, scope: &Scope, member: &Member, target: &Target) -> bool;
    fn reach_of(&self, scope: &Scope, target: &Target) -> Reach;
    fn answer_reach(&self, scope: &Scope, target: &Target) -> ReachAnswer;
    fn targets(&self, member: &Member) -> Vec<Target>;
    fn detach(&self, member: &Member);
    fn push(&self, member: &Member, event: &Event) -> Verdict;
    /// Drops what may be the last reference to the connection.
    fn dispose(&self, member: Member);
}

/// Follows which targets have members on this node, and knows how they are reached from others.
pub(crate) trait TargetWatcher: Send + Sync {
    /// The target has its first member.
    fn target_gained(&self, key: KeyRef<'_>);
    /// The target has no member any more.
    fn target_lost(&self, key: KeyRef<'_>);
    /// Whether publishers on other nodes reach the target here, now or once the bus has answered.
    fn reach(&self, key: KeyRef<'_>) -> ReachAnswer;
    /// Whether they do now.
    fn reaches(&self, key: KeyRef<'_>) -> Reach;
    /// The lane that events for the target alone travel on.
    fn lane(&self, key: KeyRef<'_>) -> Lane;
    /// Whether a target on the lane may have a member on this node.
    fn has_members(&self, lane: Lane) -> bool;
    /// The present instant.
    fn now(&self) -> Instant;
}

/// How far a target reaches, now or once the bus has confirmed its subscription.
pub(crate) enum ReachAnswer {
    Known(Reach),
    Pending(oneshot::Receiver<Result<Reach, AssociateError>>),
}

/// A connection that was attached. Dropping it detaches the connection without waiting, so hold it for
/// as long as the connection lives: `let _ = plane.attach(..)` detaches at once.
///
/// An attachment keeps neither the sink nor the backplane alive: once the connection is detached, replaced, or its
/// sink said [`Closed`](crate::Verdict::Closed) or panicked, or the backplane is closed, what the sink
/// captured is dropped even while this value lives. So a sink may own its own attachment. (One that owns
/// another's, which owns another's, drops them all on one stack: keep such chains to a few hundred.)
#[must_use = "dropping the attachment detaches the connection"]
pub struct Attachment {
    registry: Weak<dyn Membership>,
    connection: Weak<Connection<dyn Deliver>>,
    latch: Arc<dyn Latch>,
    scope: Scope,
    id: ConnectionId,
}

impl Attachment {
    pub(crate) fn new(
        registry: Weak<dyn Membership>,
        connection: Weak<Connection<dyn Deliver>>,
        latch: Arc<dyn Latch>,
        scope: Scope,
        id: ConnectionId,
    ) -> Self {
        Self {
            registry,
            connection,
            latch,
            scope,
            id,
        }
    }

    /// The id that the connection was attached with.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// The scope that the connection was attached in.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether events still reach the connection. Another thread may detach it at any time.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.with(|_, member| !member.is_closed()).unwrap_or(false)
    }

    /// Why the connection ended; `None` while it is attached. The first reason stays.
    ///
    /// A mailbox that [disconnects](crate::mailbox::Overflow::Disconnect) ends its reader a moment before its connection:
    /// a reader that finds no reason yet may take it for [`ConnectionEnd::SinkClosed`].
    #[must_use]
    pub fn end(&self) -> Option<ConnectionEnd> {
        self.latch.end()
    }

    /// Delivers an event to this connection alone, behind every event that its sink got before. It travels nowhere else:
    /// publishing to the connection's own target goes to every node, and has no such place.
    /// [`Closed`](Verdict::Closed) when the connection is detached.
    pub fn push(&self, event: &Event) -> Verdict {
        self.with(|registry, member| registry.push(member, event))
            .unwrap_or(Verdict::Closed)
    }

    /// Joins the connection to the target. It acts when it is called: a publish that begins after this
    /// call returned finds the connection there. Joining a target twice is joining it once.
    ///
    /// Await the future for the outcome: an [`AssociateError`] when the connection was not joined, or, where the bus refuses
    /// the target's lane, was taken out again, and nothing is left behind; else how far it [reaches](Reach): it is ready when publishers on other
    /// nodes reach it too, or when that has to wait until the bus is back. On a backplane without other
    /// nodes it is ready at once. Dropping the future undoes nothing: a connection that the bus refuses a lane for then stays
    /// in the target and is reached by this node alone.
    pub fn associate(&self, target: &Target) -> Associate {
        let outcome = self.with(|registry, member| registry.associate(&self.scope, member, target));
        let outcome = outcome.unwrap_or(Err(AssociateError::Detached));
        let waits = matches!(outcome, Ok((ReachAnswer::Pending(_), true)));
        let answer = outcome.map(|(answer, _)| answer);
        let joined = waits.then(|| Joined {
            registry: self.registry.clone(),
            connection: self.connection.clone(),
            scope: self.scope.clone(),
            target: target.clone(),
        });
        Associate { answer, joined }
    }

    /// Takes the connection out of the target; false if it was not in it, or is detached. A
    /// connection does not leave its own target but by detaching.
    pub fn dissociate(&self, target: &Target) -> bool {
        self.with(|registry, member| registry.dissociate(&self.scope, member, target))
            .unwrap_or(false)
    }

    /// Whether the connection is in the target.
    #[must_use]
    pub fn is_in(&self, target: &Target) -> bool {
        self.with(|registry, member| registry.is_in(&self.scope, member, target))
            .unwrap_or(false)
    }

    /// How far the target reaches now. `None` if the connection is not in the target, or is detached.
    ///
    /// The answer of [`associate`](Self::associate) changes with the bus, and a host that passes the answer on to its
    /// client should pass on the change too. Nothing needs to be asked at intervals: with
    /// [`Notice::State`](crate::Notice::State) every target comes to reach [`Here`](Reach::Here) when the backplane is
    /// [`Degraded`](crate::State::Degraded), and those that reached no further reach
    /// [`Everywhere`](Reach::Everywhere) when it is [`Live`](crate::State::Live).
    #[must_use]
    pub fn reach(&self, target: &Target) -> Option<Reach> {
        self.with(|registry, member| {
            let is_in = registry.is_in(&self.scope, member, target);
            is_in.then(|| registry.reach_of(&self.scope, target))
        })
        .flatten()
    }

    /// Waits until a target that the connection is in reaches as far as it can for now, as the future of
    /// [`associate`](Self::associate) does: of its own target, which attaching joined, a connection has no such future.
    ///
    /// The future gives [`AssociateError::Detached`] if the connection is not in the target.
    pub fn await_reach(&self, target: &Target) -> Associate {
        let answer = self.with(|registry, member| {
            let is_in = registry.is_in(&self.scope, member, target);
            is_in.then(|| registry.answer_reach(&self.scope, target))
        });
        Associate {
            answer: answer.flatten().ok_or(AssociateError::Detached),
            joined: None,
        }
    }

    /// The targets the connection is in, its own first; none once it is detached.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        self.with(|registry, member| registry.targets(member))
            .unwrap_or_default()
    }

    /// Detaches the connection: once this call returns, no publish that begins resolves to it.
    ///
    /// The future resolves when no sink call runs, none can start, and what the sink captured is
    /// dropped. It waits for the fan-outs under way over targets that the connection was in, to their
    /// end: a sink that blocks holds it up. Polled inside any sink it is ready at once and promises
    /// only what the call did: it might wait for itself. Dropping the future undoes nothing; calling
    /// again waits for the same end.
    pub fn detach(&self) -> Detach {
        self.with(|registry, member| registry.detach(member));
        Detach {
            latch: self.latch.clone(),
            ticket: None,
        }
    }

    /// Calls `ask` if there is still a connection. Meanwhile another thread may detach it, and then the
    /// reference here is the last: the registry drops it, for the closure drops with it.
    fn with<T>(&self, ask: impl FnOnce(&dyn Membership, &Member) -> T) -> Option<T> {
        let registry = self.registry.upgrade()?;
        let member = self.connection.upgrade()?;
        let answer = ask(&*registry, &member);
        registry.dispose(member);
        Some(answer)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        drop(self.detach());
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("scope", &self.scope)
            .field("id", &self.id)
            .field("attached", &self.is_attached())
            .finish_non_exhaustive()
    }
}

/// Why a connection was not joined to a target. Nothing is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssociateError {
    /// The connection is detached, or was replaced by another with its id.
    Detached,
    /// The target is a connection's own, which only attaching joins.
    Reserved,
    /// The connection is in as many targets as the registry allows.
    TooMany {
        /// The registry's limit.
        limit: u32,
    },
    /// The bus's server takes no more subscriptions of this node, of which the target needs one. Targets on lanes that are
    /// subscribed can be joined all the same.
    BusFull,
}

impl fmt::Display for AssociateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached => f.write_str("the connection is detached"),
            Self::Reserved => f.write_str("a connection target is joined by attaching alone"),
            Self::TooMany { limit } => {
                write!(
                    f,
                    "the connection is in {limit} targets, the registry's limit"
                )
            }
            Self::BusFull => f.write_str("the bus's server takes no more subscriptions"),
        }
    }
}

impl core::error::Error for AssociateError {}

/// How far a target that was joined reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// Publishers on every node reach the connection there.
    Everywhere,
    /// Publishers on this node do; the bus is away. Those on other nodes will when it is back, and nothing
    /// more is to be done for it; [`Attachment::reach`] says when. The backplane is
    /// [`Degraded`](crate::State::Degraded) until then.
    Here,
}

/// Resolves when the association reaches as far as it can for now. See [`Attachment::associate`].
#[must_use = "the association may have failed"]
pub struct Associate {
    answer: Result<ReachAnswer, AssociateError>,
    /// What was joined before the bus has answered, to be left again where the bus refuses it.
    joined: Option<Joined>,
}

struct Joined {
    registry: Weak<dyn Membership>,
    connection: Weak<Connection<dyn Deliver>>,
    scope: Scope,
    target: Target,
}

impl Joined {
    fn leave(&self) {
        if let Some(registry) = self.registry.upgrade()
            && let Some(member) = self.connection.upgrade()
        {
            registry.dissociate(&self.scope, &member, &self.target);
            registry.dispose(member);
        }
    }
}

impl Future for Associate {
    type Output = Result<Reach, AssociateError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match &mut self.answer {
            Ok(ReachAnswer::Known(reach)) => Ok(*reach),
            Ok(ReachAnswer::Pending(answer)) => {
                // The driver is gone, and with it every subscription.
                let answer = ready!(answer.poll_unpin(context)).unwrap_or(Ok(Reach::Here));
                if answer.is_err()
                    && let Some(joined) = self.joined.take()
                {
                    joined.leave();
                }
                answer
            }
            Err(error) => Err(*error),
        })
    }
}

impl fmt::Debug for Associate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Associate").finish_non_exhaustive()
    }
}

/// Resolves when a detached connection is gone. See [`Attachment::detach`].
#[must_use = "await it to know that the sink is dropped; drop it to know only that no publish will find it"]
pub struct Detach {
    latch: Arc<dyn Latch>,
    /// The place at the latch, once it waits.
    ticket: Option<u64>,
}

impl Future for Detach {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.latch.inside_sink() {
            return Poll::Ready(());
        }
        let Self { latch, ticket } = &mut *self;
        latch.poll_open(ticket, context)
    }
}

impl Drop for Detach {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.latch.leave(ticket);
        }
    }
}

impl fmt::Debug for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach").finish_non_exhaustive()
    }
}
