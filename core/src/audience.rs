//! The audience of an event.

use alloc::vec::Vec;

use crate::target::{ConnectionId, Target};

/// The most targets, and the most exclusions, of an audience that travels between nodes.
pub const MAX_AUDIENCE: usize = 256;

/// One target, or a union of targets, minus some connections.
///
/// A connection gets the event once, however many of the targets it is in. There is no empty
/// audience.
///
/// ```
/// use midplane_core::{Audience, ConnectionId, Target};
///
/// // The room and its owner wherever they are, except the connection that speaks.
/// let audience = Audience::from(Target::topic("room")?)
///     .or(Target::user("owner")?)
///     .except(ConnectionId::new("me")?);
/// assert_eq!(audience.targets().count(), 2);
/// # Ok::<(), midplane_core::IdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    first: Target,
    more: Vec<Target>,
    except: Vec<ConnectionId>,
}

impl Audience {
    /// Adds every connection of `target`.
    #[must_use]
    pub fn or(mut self, target: Target) -> Self {
        self.more.push(target);
        self
    }

    /// Leaves one connection out.
    #[must_use]
    pub fn except(mut self, connection: ConnectionId) -> Self {
        self.except.push(connection);
        self
    }

    /// The targets of the union, in the order they were named.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        core::iter::once(&self.first).chain(&self.more)
    }

    /// The connections left out.
    #[must_use]
    pub fn excluded(&self) -> &[ConnectionId] {
        &self.except
    }

    /// The one target, where the audience is that and nothing else.
    pub(crate) fn single(&self) -> Option<&Target> {
        (self.more.is_empty() && self.except.is_empty()).then_some(&self.first)
    }
}

impl From<Target> for Audience {
    fn from(first: Target) -> Self {
        Self {
            first,
            more: Vec::new(),
            except: Vec::new(),
        }
    }
}

impl From<&Target> for Audience {
    fn from(first: &Target) -> Self {
        Self::from(first.clone())
    }
}

impl From<&Self> for Audience {
    fn from(audience: &Self) -> Self {
        audience.clone()
    }
}

/// The first words of an [`Audience`].
impl Target {
    /// The audience of this target and another.
    #[must_use]
    pub fn or(self, other: Self) -> Audience {
        Audience::from(self).or(other)
    }

    /// The audience of this target without one connection.
    ///
    /// ```
    /// use midplane_core::{ConnectionId, Target};
    ///
    /// let speaker = ConnectionId::new("c1")?;
    /// let others = Target::topic("room")?.except(speaker.clone());
    /// assert_eq!(others.excluded(), [speaker]);
    /// # Ok::<(), midplane_core::IdError>(())
    /// ```
    #[must_use]
    pub fn except(self, connection: ConnectionId) -> Audience {
        Audience::from(self).except(connection)
    }
}
