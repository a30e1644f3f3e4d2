//! A target inside a scope, as the bytes the tables are keyed by.

use core::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;
use triomphe::ThinArc;

use crate::id::MAX_ID_BYTES;
use crate::target::{ConnectionId, Kind, Scope, Target};

/// A key by its parts, for look-ups that allocate nothing.
#[derive(Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    kind: u8,
    scope: &'a [u8],
    id: &'a [u8],
}

/// By hand for the empty scope, the common one: comparing two empty slices still calls `memcmp`, which was
/// more than half of a publish to one connection.
impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.scope.len() == other.scope.len()
            && (self.scope.is_empty() || self.scope == other.scope)
            && self.id == other.id
    }
}

impl<'a> KeyRef<'a> {
    pub(crate) fn new(scope: &'a Scope, target: &'a Target) -> Self {
        Self {
            kind: target.kind() as u8,
            scope: scope.as_bytes(),
            id: target.id().as_bytes(),
        }
    }

    pub(crate) fn connection(scope: &'a Scope, id: &'a ConnectionId) -> Self {
        Self {
            kind: Kind::Connection as u8,
            scope: scope.as_bytes(),
            id: id.as_str().as_bytes(),
        }
    }

    pub(crate) fn scope(self) -> &'a [u8] {
        self.scope
    }

    pub(crate) fn kind(self) -> u8 {
        self.kind
    }

    pub(crate) fn id(self) -> &'a [u8] {
        self.id
    }

    /// The builder is seeded per process: clients choose ids, and must not choose their shard too.
    pub(crate) fn hash(self, builder: &DefaultHashBuilder) -> u64 {
        let mut hasher = builder.build_hasher();
        hasher.write_u16(u16::from_le_bytes([self.kind, self.scope.len() as u8]));
        if !self.scope.is_empty() {
            hasher.write(self.scope);
        }
        hasher.write(self.id);
        hasher.finish()
    }

    pub(crate) fn to_key(self) -> Key {
        // A scope's path has at most 255 bytes, so its length fits one; with it in front no id can
        // make two keys collide.
        let mut bytes = [0; 2 + 2 * MAX_ID_BYTES];
        let (head, rest) = bytes.split_at_mut(2);
        head.copy_from_slice(&[self.kind, self.scope.len() as u8]);
        let (scope, rest) = rest.split_at_mut(self.scope.len());
        scope.copy_from_slice(self.scope);
        rest[..self.id.len()].copy_from_slice(self.id);
        let length = 2 + self.scope.len() + self.id.len();
        Key(ThinArc::from_header_and_slice((), &bytes[..length]))
    }

    pub(crate) fn target(self) -> Option<Target> {
        let kind = Kind::from_number(self.kind)?;
        Target::of_text(kind, core::str::from_utf8(self.id).ok()?).ok()
    }
}

/// A key that a table holds, shared with the connections that are in it. Each connection has one for every
/// target it joined, and so has each target: a thin pointer takes half of the room that an `Arc<[u8]>` would.
#[derive(Clone)]
pub(crate) struct Key(ThinArc<(), u8>);

impl Key {
    pub(crate) fn parts(&self) -> KeyRef<'_> {
        match &self.0.slice {
            [kind, length, rest @ ..] => {
                let (scope, id) = rest.split_at(usize::from(*length).min(rest.len()));
                KeyRef {
                    kind: *kind,
                    scope,
                    id,
                }
            }
            // `to_key` is the only maker and writes both.
            _ => KeyRef {
                kind: 0,
                scope: &[],
                id: &[],
            },
        }
    }
}
