//! The addresses of messages: the ids, [`Target`] and [`Scope`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id;
use crate::id::{IdError, MAX_ID_BYTES, check_id};

id! {
    /// One live connection. Unique among the connections of its scope at any one time; attaching it
    /// again replaces the connection that had it, so let no client choose it.
    ConnectionId
}
id! {
    /// What one person does in one place, across reconnects: often a tab.
    SessionId
}
id! {
    /// A person or a machine account.
    UserId
}
id! {
    /// An organisation: a set of users.
    OrgId
}
id! {
    /// An automated participant.
    AgentId
}
id! {
    /// A subject anyone may be interested in.
    TopicId
}
id! {
    /// What an event is the latest value of; see [`Event::keyed`](crate::Event::keyed).
    EventKey
}

/// The kinds of [`Target`]. The numbers are part of the wire and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// [`Target::Connection`]
    Connection = 0,
    /// [`Target::Session`]
    Session = 1,
    /// [`Target::User`]
    User = 2,
    /// [`Target::Org`]
    Org = 3,
    /// [`Target::Agent`]
    Agent = 4,
    /// [`Target::Topic`]
    Topic = 5,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Connection,
        Self::Session,
        Self::User,
        Self::Org,
        Self::Agent,
        Self::Topic,
    ];

    /// The name used in text and JSON: `connection`, `session`, `user`, `org`, `agent`, `topic`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Session => "session",
            Self::User => "user",
            Self::Org => "org",
            Self::Agent => "agent",
            Self::Topic => "topic",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The address of a message within one [`Scope`]: the connections that it is for.
///
/// In text a target is `kind:id`, and everything after the first colon is the id. In serde's formats
/// it is `{"type":"session","id":"s1"}`.
///
/// ```
/// use midplane_core::Target;
///
/// let target = Target::topic("a:b")?;
/// assert_eq!(target.to_string(), "topic:a:b");
/// assert_eq!("topic:a:b".parse::<Target>()?, target);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(
    tag = "type",
    content = "id",
    rename_all = "snake_case",
    deny_unknown_fields,
    expecting = "a target such as {\"type\":\"topic\",\"id\":\"t\"}"
)]
#[non_exhaustive]
pub enum Target {
    /// One connection.
    Connection(ConnectionId),
    /// Every connection of one session.
    Session(SessionId),
    /// Every connection of one user.
    User(UserId),
    /// Every connection of one organisation.
    Org(OrgId),
    /// Every connection of one agent.
    Agent(AgentId),
    /// Every connection that joined a topic.
    Topic(TopicId),
}

macro_rules! constructors {
    ($($function:ident $variant:ident $id:ident),+) => {
        $(
            #[doc = concat!("The ", stringify!($function), " whose id is what `id` displays: a text, a number, a UUID.")]
            ///
            /// # Errors
            /// When the id is empty or longer than [`MAX_ID_BYTES`].
            pub fn $function(id: impl fmt::Display) -> Result<Self, IdError> {
                $id::new(id).map(Self::$variant)
            }
        )+

        /// The target of this kind whose id is `id`.
        ///
        /// # Errors
        /// When the id is empty or longer than [`MAX_ID_BYTES`].
        pub fn new(kind: Kind, id: impl fmt::Display) -> Result<Self, IdError> {
            match kind {
                $(Kind::$variant => Self::$function(id),)+
            }
        }

        /// The target of this kind with this text for an id, which spares the look at what the id displays.
        pub(crate) fn of_text(kind: Kind, id: &str) -> Result<Self, IdError> {
            match kind {
                $(Kind::$variant => id.parse().map(Self::$variant),)+
            }
        }

        /// Which kind of target this is.
        #[must_use]
        pub fn kind(&self) -> Kind {
            match self {
                $(Self::$variant(_) => Kind::$variant,)+
            }
        }

        /// The text of the id.
        #[must_use]
        pub fn id(&self) -> &str {
            match self {
                $(Self::$variant(id) => id.as_str(),)+
            }
        }
    };
}

impl Target {
    constructors!(
        connection Connection ConnectionId,
        session Session SessionId,
        user User UserId,
        org Org OrgId,
        agent Agent AgentId,
        topic Topic TopicId
    );
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().as_str(), self.id())
    }
}

/// Why a text is not a target. Nothing was created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseTargetError {
    /// There is no colon between a kind and an id.
    NoColon,
    /// What stands before the colon is not a kind.
    UnknownKind,
    /// What stands after the colon is not an id.
    Id(IdError),
}

impl fmt::Display for ParseTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon => f.write_str("a target is written kind:id, this text has no colon"),
            Self::UnknownKind => f.write_str(
                "a target's kind is one of connection, session, user, org, agent, topic",
            ),
            Self::Id(_) => f.write_str("what follows the colon is not an id"),
        }
    }
}

impl core::error::Error for ParseTargetError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Id(error) => Some(error),
            _ => None,
        }
    }
}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        let (kind, id) = text.split_once(':').ok_or(ParseTargetError::NoColon)?;
        let kind = Kind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or(ParseTargetError::UnknownKind)?;
        Self::of_text(kind, id).map_err(ParseTargetError::Id)
    }
}

/// The tenant inside which targets are named: a path of labels, empty by default.
///
/// The same target in two scopes is two targets. Scopes nest, so the owner of a handle can divide
/// its scope and can never name what lies beside or above it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Scope {
    /// Each label behind a byte with its length; `None` is the empty path and costs nothing.
    labels: Option<Arc<[u8]>>,
}

impl Scope {
    /// The scope that `label` names inside this one.
    ///
    /// # Errors
    /// When the label is empty, or the labels of the path together, with a byte for each, have more
    /// than [`MAX_ID_BYTES`] bytes.
    pub fn child(&self, label: impl AsRef<str>) -> Result<Self, IdError> {
        let label = label.as_ref();
        check_id(label)?;
        let mut labels = Vec::with_capacity(self.as_bytes().len() + 1 + label.len());
        labels.extend_from_slice(self.as_bytes());
        // `check` bounds a label at 255 bytes.
        labels.push(label.len() as u8);
        labels.extend_from_slice(label.as_bytes());
        if labels.len() > MAX_ID_BYTES {
            return Err(IdError::TooLong {
                bytes: labels.len(),
            });
        }
        Ok(Self {
            labels: Some(labels.into()),
        })
    }

    /// The labels, outermost first.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.as_bytes();
        core::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            core::str::from_utf8(label).ok()
        })
    }

    /// The path in bytes; unequal scopes have unequal bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.labels.as_deref().unwrap_or_default()
    }

    /// The scope whose bytes these are; `None` where they are not a path of labels.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_ID_BYTES {
            return None;
        }
        let mut rest = bytes;
        while let Some((length, tail)) = rest.split_first() {
            let (label, tail) = tail.split_at_checked(usize::from(*length))?;
            check_id(core::str::from_utf8(label).ok()?).ok()?;
            rest = tail;
        }
        Some(Self {
            labels: (!bytes.is_empty()).then(|| bytes.into()),
        })
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope")?;
        f.debug_list().entries(self.labels()).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// A label counts its bytes and one more.
    #[test]
    fn a_scope_has_at_most_255_bytes() {
        let outer = Scope::default().child("o".repeat(127)).unwrap();
        let longest = outer.child("i".repeat(126)).unwrap();
        assert_eq!(longest.as_bytes().len(), MAX_ID_BYTES);
        assert_eq!(Scope::from_bytes(longest.as_bytes()), Some(longest));

        let too_long = outer.child("i".repeat(127));
        assert_eq!(too_long, Err(IdError::TooLong { bytes: 256 }));
        let bytes = [[127].as_slice(), &[b'o'; 127], &[127], &[b'i'; 127]].concat();
        assert_eq!(bytes.len(), MAX_ID_BYTES + 1);
        assert_eq!(Scope::from_bytes(&bytes), None);
    }

    #[test]
    fn an_id_is_what_is_displayed_up_to_255_bytes() {
        assert_eq!(Target::user(42_u64).unwrap().to_string(), "user:42");
        assert_eq!(Target::user("é".repeat(127)).unwrap().id().len(), 254);
        let too_long = |bytes| Err(IdError::TooLong { bytes });
        assert_eq!(Target::user("é".repeat(128)), too_long(256));
        // Written in parts, of which the last would have had a place.
        let parts = alloc::format!("{}{}", "a".repeat(300), "b");
        assert_eq!(
            Target::topic(format_args!("{}{}", "a".repeat(300), "b")),
            too_long(parts.len())
        );
        assert_eq!(Target::topic(""), Err(IdError::Empty));
    }
}
