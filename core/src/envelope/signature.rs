//! The signature of a frame: who has no key of the cluster can make none.

use alloc::vec::Vec;
use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::frame::VERSION;
use crate::bus::Signing;

/// The flag of a frame that is signed. Behind the flags stands the id of the key then.
pub(super) const SIGNED: u8 = 1;

/// The bytes of a tag, with which a signed frame ends.
pub(super) const TAG: usize = 16;

/// What a frame grows by when it is signed, in bytes.
pub const SIGNATURE: usize = 1 + TAG;

/// What the keys of a cluster are made into those of one bus from, before its prefix.
const PURPOSE: &[u8] = b"midplane frame 2";

/// The keys of a cluster on the bus of one prefix, which sign frames and verify them.
///
/// A tag is the first 16 bytes of HMAC-SHA-256 over the frame up to the tag. Its key is the HMAC-SHA-256, by the key of the
/// cluster, of `midplane frame 2` and the prefix: a frame of another prefix is no frame here.
#[derive(Clone)]
pub struct Signatures {
    keys: Vec<FrameKey>,
    required: bool,
}

/// A key whose block is hashed already.
#[derive(Clone)]
pub(super) struct FrameKey {
    id: u8,
    mac: Hmac<Sha256>,
}

impl FrameKey {
    pub(super) fn id(&self) -> u8 {
        self.id
    }

    /// Appends the tag of the bytes to them.
    pub(super) fn sign(mut self, bytes: &mut Vec<u8>) {
        self.mac.update(bytes);
        let tag = self.mac.finalize().into_bytes();
        bytes.extend_from_slice(&tag[..TAG]);
    }
}

impl Signatures {
    /// What a node of a bus with this prefix signs and verifies by.
    #[must_use]
    pub fn new(signing: &Signing, prefix: &str) -> Self {
        let keys = signing.keys().secrets().map(|(id, secret)| {
            let mut mac = keyed(secret);
            mac.update(PURPOSE);
            mac.update(prefix.as_bytes());
            let mac = keyed(&mac.finalize().into_bytes());
            FrameKey { id, mac }
        });
        Self {
            keys: keys.collect(),
            required: signing.is_required(),
        }
    }

    /// The key that signs.
    pub(super) fn first(&self) -> Option<FrameKey> {
        self.keys.first().cloned()
    }

    /// Verifies the signature of a frame, in constant time, before anything of it is decoded.
    ///
    /// # Errors
    /// Why the frame is not proven to be made with a key of the cluster.
    pub fn verify(&self, frame: &[u8]) -> Result<(), Unproven> {
        let (id, signed) = match frame {
            [VERSION, flags, id, ..] if flags & SIGNED != 0 => (*id, frame),
            _ => return Err(Unproven::Unsigned),
        };
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or(Unproven::UnknownKey(id))?;
        let (body, tag) = signed.split_last_chunk::<TAG>().ok_or(Unproven::WrongTag)?;
        let mut mac = key.mac.clone();
        mac.update(body);
        mac.verify_truncated_left(tag)
            .map_err(|_| Unproven::WrongTag)
    }

    /// Whether every frame is dropped that no known key signed.
    #[must_use]
    pub const fn are_required(&self) -> bool {
        self.required
    }

    /// Whether a frame is taken that is not proven.
    #[must_use]
    pub fn takes(&self, unproven: Unproven) -> bool {
        !self.required && unproven != Unproven::WrongTag
    }
}

/// A key of any length: HMAC has no other.
fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(secret) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of every length"),
    }
}

/// The ids of the keys, and nothing else of them.
impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.keys.iter().map(|key| key.id).collect();
        f.debug_struct("Signatures")
            .field("keys", &ids)
            .field("required", &self.required)
            .finish()
    }
}

impl fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FrameKey").field(&self.id).finish()
    }
}

/// Why a frame is not proven to be made with a key of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unproven {
    /// The frame has no signature.
    Unsigned,
    /// The key is not known here; one of an unknown algorithm is none that is.
    UnknownKey(u8),
    /// The tag is not the one that the key makes of the frame.
    WrongTag,
}
