//! Who a connection is: the demo identity of the query, and the random ids the server gives.

use std::fmt;

use midplane::id::{OrgId, SessionId, UserId};
use midplane::{ConnectionId, IdError};

use crate::query;

/// The user and the org of a connection.
///
/// A real service takes them from a verified token. Here they are what the query of `/ws` says,
/// which is why the server listens on loopback alone; either way a client's requests cannot change
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: Option<UserId>,
    pub(crate) org: Option<OrgId>,
}

impl Identity {
    /// The identity that `user=ada&org=engines` gives. An empty value is none.
    pub(crate) fn from_query(query: &str) -> Result<Self, IdentityError> {
        Self::from_query_with(query, |_| false)
    }

    /// The identity of a query that has parameters of other names as well.
    pub(crate) fn from_query_with(
        query: &str,
        is_other: impl Fn(&str) -> bool,
    ) -> Result<Self, IdentityError> {
        let (mut user, mut org) = (None, None);
        for (name, value) in query::pairs(query) {
            let slot = match name {
                "user" => &mut user,
                "org" => &mut org,
                name if is_other(name) => continue,
                _ => return Err(IdentityError::Unknown),
            };
            let value = value.ok_or(IdentityError::Encoding)?;
            if slot.replace(value).is_some() {
                return Err(IdentityError::Twice);
            }
        }
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        Ok(Self {
            user: given(user)
                .map(UserId::new)
                .transpose()
                .map_err(IdentityError::Id)?,
            org: given(org)
                .map(OrgId::new)
                .transpose()
                .map_err(IdentityError::Id)?,
        })
    }
}

/// Why a query gives no identity. The connection is not upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdentityError {
    /// A parameter is neither `user` nor `org`.
    Unknown,
    /// A parameter stands twice.
    Twice,
    /// A value is not UTF-8 in percent-encoding.
    Encoding,
    /// A value is not an id.
    Id(IdError),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the query takes user and org alone",
            Self::Twice => "the query names a parameter twice",
            Self::Encoding => "the query is not UTF-8 in percent-encoding",
            Self::Id(_) => "the query's user and org have at most 255 bytes",
        })
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Id(error) => Some(error),
            _ => None,
        }
    }
}

/// 128 random bits in hex: nobody guesses them, and no two nodes draw the same.
fn unguessable() -> Result<String, NoEntropy> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(NoEntropy)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// An id for a new connection.
pub(crate) fn new_connection() -> Result<ConnectionId, NoEntropy> {
    Ok(ConnectionId::new(unguessable()?).unwrap_or_else(|_| unreachable!("32 digits are an id")))
}

/// An id for a new session: a client that has it may join the session, on any node.
pub(crate) fn new_session() -> Result<SessionId, NoEntropy> {
    Ok(SessionId::new(unguessable()?).unwrap_or_else(|_| unreachable!("32 digits are an id")))
}

/// A value that is in a page once, for its content security policy.
pub(crate) fn new_nonce() -> Result<String, NoEntropy> {
    unguessable()
}

/// The session that a client names, if the text has the shape of those that [`new_session`] gives.
/// No node keeps a list of sessions: that nobody can guess one is what guards it, so a guessable
/// name must not become one.
pub(crate) fn session(text: &str) -> Option<SessionId> {
    let shaped = text.len() == 32
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    shaped.then(|| SessionId::new(text).ok()).flatten()
}

/// The system gave no random bytes. Nothing was created.
#[derive(Debug)]
pub(crate) struct NoEntropy(getrandom::Error);

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gave no random bytes")
    }
}

impl std::error::Error for NoEntropy {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: Option<&str>, org: Option<&str>) -> Identity {
        Identity {
            user: user.map(|user| UserId::new(user).unwrap()),
            org: org.map(|org| OrgId::new(org).unwrap()),
        }
    }

    #[test]
    fn a_query_gives_an_identity() {
        for (query, expected) in [
            ("", identity(None, None)),
            ("user=&org=", identity(None, None)),
            ("user=ada", identity(Some("ada"), None)),
            (
                "org=engines&user=ada",
                identity(Some("ada"), Some("engines")),
            ),
            ("user=a%2Fb+c%26&&", identity(Some("a/b c&"), None)),
            ("user=%E2%9C%93=", identity(Some("✓="), None)),
        ] {
            assert_eq!(Identity::from_query(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn a_query_that_gives_none_is_an_error() {
        let long = format!("user={}", "x".repeat(256));
        for (query, expected) in [
            ("usr=ada", IdentityError::Unknown),
            ("user=ada&user=bob", IdentityError::Twice),
            ("user=%4", IdentityError::Encoding),
            ("user=%zz", IdentityError::Encoding),
            ("user=%+1", IdentityError::Encoding),
            ("user=%ff", IdentityError::Encoding),
            (&long, IdentityError::Id(IdError::TooLong { bytes: 256 })),
        ] {
            assert_eq!(Identity::from_query(query), Err(expected), "{query}");
        }
    }

    #[test]
    fn a_new_session_has_the_shape_that_is_resumed_and_names_do_not() {
        let fresh = new_session().unwrap();
        assert_eq!(session(fresh.as_str()), Some(fresh));
        for text in [
            "",
            "lobby",
            &"A".repeat(32),
            &"a".repeat(31),
            &"a".repeat(33),
            &"é".repeat(16),
        ] {
            assert_eq!(session(text), None, "{text}");
        }
    }
}
