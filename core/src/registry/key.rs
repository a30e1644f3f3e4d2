//! A target inside a scope, as the bytes the tables are keyed by.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::target::{Kind, Scope, Target};

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

    pub(crate) fn connection(scope: &'a Scope, id: &'a str) -> Self {
        Self {
            kind: Kind::Connection as u8,
            scope: scope.as_bytes(),
            id: id.as_bytes(),
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
        let mut bytes = Vec::with_capacity(2 + self.scope.len() + self.id.len());
        // A scope's path has at most 255 bytes, so its length fits one; with it in front no id can
        // make two keys collide.
        bytes.extend_from_slice(&[self.kind, self.scope.len() as u8]);
        bytes.extend_from_slice(self.scope);
        bytes.extend_from_slice(self.id);
        Key(bytes.into())
    }
}

/// A key that a table holds, shared with the connections that are in it.
#[derive(Clone)]
pub(crate) struct Key(Arc<[u8]>);

impl Key {
    pub(crate) fn parts(&self) -> KeyRef<'_> {
        match &*self.0 {
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

    pub(crate) fn target(&self) -> Option<Target> {
        let parts = self.parts();
        let kind = Kind::from_number(parts.kind)?;
        Target::new(kind, core::str::from_utf8(parts.id).ok()?).ok()
    }
}
