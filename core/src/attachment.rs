//! A live connection's place in the registry.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::registry::{Connection, Latch, Member};
use crate::sink::Deliver;
use crate::target::{ConnectionId, Scope, Target};

/// What an attachment asks of the registry that made it.
pub(crate) trait Membership: Send + Sync {
    fn associate(
        &self,
        scope: &Scope,
        member: &Member,
        target: &Target,
    ) -> Result<(), AssociateError>;
    fn dissociate(&self, scope: &Scope, member: &Member, target: &Target) -> bool;
    fn is_in(&self, scope: &Scope, member: &Member, target: &Target) -> bool;
    fn targets(&self, member: &Member) -> Vec<Target>;
    fn detach(&self, member: Member);
    fn inside_sink(&self) -> bool;
}

/// A connection that was attached. Dropping it detaches the connection without waiting.
///
/// It does not keep the sink alive: once the connection is detached, replaced, or its sink said
/// [`Closed`](crate::Verdict::Closed) or panicked, what the sink captured is dropped even while this
/// value lives.
#[must_use = "dropping the attachment detaches the connection"]
pub struct Attachment {
    registry: Arc<dyn Membership>,
    connection: Weak<Connection<dyn Deliver>>,
    latch: Arc<dyn Latch>,
    scope: Scope,
    id: ConnectionId,
}

impl Attachment {
    pub(crate) fn new(
        registry: Arc<dyn Membership>,
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

    /// The id it was attached with.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// Whether events still reach the connection. Another thread may detach it at any time.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.connection
            .upgrade()
            .is_some_and(|member| !member.is_closed())
    }

    /// Joins the connection to the target, at once: a publish that begins after this call returns
    /// finds it there. Joining a target twice is joining it once.
    ///
    /// The future says when publishers on other nodes reach it too; on a backplane without other
    /// nodes it is ready. Dropping the future undoes nothing.
    ///
    /// The future resolves to an [`AssociateError`] when the connection was not joined; then nothing
    /// is left behind.
    pub fn associate(&self, target: &Target) -> Associate {
        Associate(match self.connection.upgrade() {
            Some(member) => self.registry.associate(&self.scope, &member, target),
            None => Err(AssociateError::Detached),
        })
    }

    /// Takes the connection out of the target; false if it was not in it, or is detached. A
    /// connection does not leave its own target but by detaching.
    pub fn dissociate(&self, target: &Target) -> bool {
        let member = self.connection.upgrade();
        member.is_some_and(|member| self.registry.dissociate(&self.scope, &member, target))
    }

    /// Whether the connection is in the target.
    #[must_use]
    pub fn is_in(&self, target: &Target) -> bool {
        let member = self.connection.upgrade();
        member.is_some_and(|member| self.registry.is_in(&self.scope, &member, target))
    }

    /// The targets the connection is in, its own first; none once it is detached.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let member = self.connection.upgrade();
        member
            .map(|member| self.registry.targets(&member))
            .unwrap_or_default()
    }

    /// Detaches the connection: once this call returns, no publish that begins resolves to it.
    ///
    /// The future resolves when no sink call runs, none can start, and what the sink captured is
    /// dropped. It waits for the fan-outs under way over targets that the connection was in. Polled
    /// inside any sink it is ready at once and promises only what the call did: it might wait for
    /// itself. Dropping the future undoes nothing; calling again waits for the same end.
    pub fn detach(&self) -> Detach {
        if let Some(member) = self.connection.upgrade() {
            self.registry.detach(member);
        }
        Detach {
            registry: self.registry.clone(),
            latch: self.latch.clone(),
        }
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
}

impl fmt::Display for AssociateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached => f.write_str("the connection is detached"),
            Self::Reserved => f.write_str("a connection target is joined by attaching alone"),
            Self::TooMany { limit } => {
                write!(
                    f,
                    "the connection is in {limit} targets, as many as the registry allows"
                )
            }
        }
    }
}

impl core::error::Error for AssociateError {}

/// Resolves when the association reaches as far as the backplane does. See [`Attachment::associate`].
#[derive(Debug)]
#[must_use = "the association may have failed"]
pub struct Associate(Result<(), AssociateError>);

impl Future for Associate {
    type Output = Result<(), AssociateError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.0)
    }
}

/// Resolves when a detached connection is gone. See [`Attachment::detach`].
#[must_use = "await it to know that the sink is dropped; drop it to know only that no publish will find it"]
pub struct Detach {
    registry: Arc<dyn Membership>,
    latch: Arc<dyn Latch>,
}

impl Future for Detach {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.registry.inside_sink() {
            return Poll::Ready(());
        }
        self.latch.poll_open(context)
    }
}

impl fmt::Debug for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach").finish_non_exhaustive()
    }
}
