//! The keys that the nodes of a cluster share, and nobody else has.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

/// The keys of a cluster, by which its nodes know each other's frames. The first signs, all are known.
///
/// A key is a secret: it stands in no `Debug`, error or log line.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: u8,
    secret: Box<[u8]>,
}

impl Keys {
    /// The most keys that are known at once. To replace one takes two.
    pub const MOST: usize = 4;

    /// The shortest key, in bytes. It should be as many random ones.
    pub const SHORTEST: usize = 32;

    /// The largest id of a key. Those above are for keys of another algorithm.
    pub const LARGEST_ID: u8 = 127;

    /// Keys by their ids. The first signs.
    ///
    /// # Errors
    /// When there is none or more than [`MOST`](Self::MOST), one is shorter than [`SHORTEST`](Self::SHORTEST) bytes, or an
    /// id is above [`LARGEST_ID`](Self::LARGEST_ID) or comes twice.
    pub fn new<'a>(keys: impl IntoIterator<Item = (u8, &'a [u8])>) -> Result<Self, KeysError> {
        let mut known: Vec<Key> = Vec::new();
        for (id, secret) in keys {
            if id > Self::LARGEST_ID {
                return Err(KeysError::LargeId { id });
            }
            if secret.len() < Self::SHORTEST {
                let bytes = secret.len();
                return Err(KeysError::TooShort { id, bytes });
            }
            if known.iter().any(|key| key.id == id) {
                return Err(KeysError::Twice { id });
            }
            if known.len() == Self::MOST {
                return Err(KeysError::TooMany);
            }
            let secret = secret.into();
            known.push(Key { id, secret });
        }
        match known.is_empty() {
            true => Err(KeysError::None),
            false => Ok(Self(known)),
        }
    }

    /// The ids of the keys. The first signs.
    pub fn ids(&self) -> impl Iterator<Item = u8> {
        self.0.iter().map(|key| key.id)
    }

    /// The keys by their ids.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|key| (key.id, &*key.secret))
    }
}

/// The ids, and nothing of the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.ids().collect();
        f.debug_tuple("Keys").field(&ids).finish()
    }
}

/// Why there are no [`Keys`]. Nothing of a key is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeysError {
    /// There is no key.
    None,
    /// There are more than [`Keys::MOST`].
    TooMany,
    /// A key is shorter than [`Keys::SHORTEST`] bytes.
    TooShort {
        /// The id of the key.
        id: u8,
        /// The length of the key, in bytes.
        bytes: usize,
    },
    /// Two keys have one id.
    Twice {
        /// The id.
        id: u8,
    },
    /// An id is above [`Keys::LARGEST_ID`].
    LargeId {
        /// The id.
        id: u8,
    },
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no key"),
            Self::TooMany => write!(f, "there are more than {} keys", Keys::MOST),
            Self::TooShort { id, bytes } => {
                let shortest = Keys::SHORTEST;
                write!(f, "key {id} has {bytes} bytes and needs {shortest} or more")
            }
            Self::Twice { id } => write!(f, "two keys have the id {id}"),
            Self::LargeId { id } => {
                let largest = Keys::LARGEST_ID;
                write!(f, "the id {id} of a key is larger than {largest}")
            }
        }
    }
}

impl Error for KeysError {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    static SECRET: [u8; 32] = [0x5a; 32];

    #[test]
    fn keys_are_refused_that_cannot_be_and_the_error_says_why() {
        let (key, short) = (&SECRET[..], &SECRET[1..]);
        let refused = |keys: &[(u8, &[u8])]| {
            let keys = Keys::new(keys.iter().copied());
            keys.expect_err("they cannot be").to_string()
        };
        assert_eq!(refused(&[]), "there is no key");
        let many = [(0, key), (1, key), (2, key), (3, key), (4, key)];
        assert_eq!(refused(&many), "there are more than 4 keys");
        let said = "key 1 has 31 bytes and needs 32 or more";
        assert_eq!(refused(&[(1, short)]), said);
        assert_eq!(refused(&[(1, key), (1, key)]), "two keys have the id 1");
        let said = "the id 128 of a key is larger than 127";
        assert_eq!(refused(&[(128, key)]), said);
    }

    #[test]
    fn debug_shows_the_ids_alone() {
        let pairs = [(3, &SECRET[..]), (1, &SECRET[..])];
        let keys = Keys::new(pairs).expect("two keys");
        assert!(keys.secrets().eq(pairs));
        assert_eq!(format!("{keys:?}"), "Keys([3, 1])");
    }
}
