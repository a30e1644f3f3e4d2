//! A place in a backend's history.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use bytes::Bytes;

/// The most bytes a position has.
pub const MAX_POSITION_BYTES: usize = 64;

/// The longest name of a backend, in bytes.
const MAX_NAME_BYTES: usize = 32;

/// A place in the history of one store of one backend: subscribing from it yields what comes strictly
/// later.
///
/// A cursor is opaque: two can be compared for equality and for nothing else. As text, to be kept across
/// restarts, a cursor is `backend.store.version.position`, the last three in hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    backend: Cow<'static, str>,
    store: u64,
    version: u8,
    position: Bytes,
}

impl Cursor {
    /// A place in a history, for backends to give. `backend` is a name of lower-case letters such as `redis`,
    /// `store` tells this store from others of the kind, as by a number drawn when it was set up, and
    /// `version` says how the position is to be read.
    ///
    /// # Panics
    /// When the name is not of 1 to 32 lower-case letters, or the position has more than
    /// [`MAX_POSITION_BYTES`]: the backend alone chooses both.
    #[must_use]
    pub fn new(backend: &'static str, store: u64, version: u8, position: &[u8]) -> Self {
        assert!(is_name(backend), "a backend is named by lower-case letters");
        assert!(position.len() <= MAX_POSITION_BYTES, "a position is short");
        Self {
            backend: Cow::Borrowed(backend),
            store,
            version,
            position: Bytes::copy_from_slice(position),
        }
    }

    /// The name of the backend that the cursor belongs to.
    #[must_use]
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The position, for the backend that reads it, if the cursor is of this backend, store and version.
    ///
    /// # Errors
    /// [`CursorError::Foreign`] where the cursor is of another backend or store, and
    /// [`CursorError::Malformed`] where it is of another version.
    pub fn position(&self, backend: &str, store: u64, version: u8) -> Result<&[u8], CursorError> {
        if self.backend != backend || self.store != store {
            return Err(CursorError::Foreign {
                belongs_to: self.backend.clone().into_owned(),
                asked: backend.to_owned(),
            });
        }
        if self.version != version {
            return Err(CursorError::Malformed);
        }
        Ok(&self.position)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}.{:x}.", self.backend, self.store, self.version)?;
        self.position
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        parse(text)
            .filter(|cursor| alloc::format!("{cursor}") == text)
            .ok_or(CursorError::Malformed)
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn parse(text: &str) -> Option<Cursor> {
    let mut parts = text.split('.');
    let (name, store, version) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = parts.next().filter(|digits| digits.is_ascii())?;
    if parts.next().is_some() || !is_name(name) || digits.len() > 2 * MAX_POSITION_BYTES {
        return None;
    }
    let position: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    Some(Cursor {
        backend: Cow::Owned(name.to_owned()),
        store: u64::from_str_radix(store, 16).ok()?,
        version: u8::from_str_radix(version, 16).ok()?,
        position: position?.into(),
    })
}

/// Why a cursor cannot be resumed from. Nothing was subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorError {
    /// The cursor belongs to another backend, or to another store of the same backend.
    Foreign {
        /// The name of the backend that the cursor belongs to.
        belongs_to: String,
        /// The name of the backend that was asked.
        asked: String,
    },
    /// The text is no cursor, or the cursor is of a version that this backend does not read.
    Malformed,
    /// The history behind the cursor is no longer kept in full: subscribe without it, and let the
    /// reconciler find what was missed.
    Expired,
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { belongs_to, asked } if belongs_to == asked => {
                write!(f, "the cursor belongs to another {asked} store")
            }
            Self::Foreign { belongs_to, asked } => {
                write!(f, "the cursor belongs to {belongs_to}, this is {asked}")
            }
            Self::Malformed => f.write_str("the cursor is not one that this version reads"),
            Self::Expired => f.write_str(
                "the history behind the cursor is no longer kept: subscribe without it and reconcile",
            ),
        }
    }
}

impl core::error::Error for CursorError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(
            store: u64,
            version: u8,
            position in proptest::collection::vec(any::<u8>(), 0..=MAX_POSITION_BYTES),
        ) {
            let cursor = Cursor::new("redis", store, version, &position);
            let read: Cursor = cursor.to_string().parse().unwrap();
            prop_assert_eq!(&read, &cursor);
            prop_assert_eq!(read.position("redis", store, version), Ok(&position[..]));
        }

        #[test]
        fn any_text_is_a_cursor_written_by_us_or_malformed(text in "([a-z]{0,3}|[0-9a-fA-F+.é]{0,6}){0,6}") {
            match text.parse::<Cursor>() {
                Ok(cursor) => prop_assert_eq!(cursor.to_string(), text),
                Err(error) => prop_assert_eq!(error, CursorError::Malformed),
            }
        }
    }

    #[test]
    fn promise_9_a_cursor_of_another_backend_store_or_version_is_refused() {
        let cursor = Cursor::new("redis", 1, 2, b"x");
        assert_eq!(cursor.position("redis", 1, 2), Ok(&b"x"[..]));
        let foreign = |backend, store| {
            let error = cursor.position(backend, store, 2).unwrap_err();
            assert!(matches!(error, CursorError::Foreign { .. }), "{error}");
            error.to_string()
        };
        assert_eq!(
            foreign("postgres", 1),
            "the cursor belongs to redis, this is postgres"
        );
        assert_eq!(
            foreign("redis", 2),
            "the cursor belongs to another redis store"
        );
        assert_eq!(cursor.position("redis", 1, 3), Err(CursorError::Malformed));
    }
}
