//! The door of a node: which frames are read at all.

use alloc::sync::Arc;

use bytes::Bytes;

use super::news::NodeCounters;
use crate::bus::Lane;
use crate::envelope::{Decoded, Frame, Signatures, Unproven};

/// Looks at each frame before anything is made of it.
#[derive(Debug)]
pub(super) struct Gate {
    /// The largest frame, in bytes.
    limit: usize,
    signatures: Option<Arc<Signatures>>,
}

impl Gate {
    pub(super) const fn new(limit: usize) -> Self {
        let signatures = None;
        Self { limit, signatures }
    }

    /// Verifies every frame from now on.
    pub(super) fn verify(&mut self, signatures: Arc<Signatures>) {
        self.signatures = Some(signatures);
    }

    /// Whether all that comes in was made with a key: then nothing forged has to be outlived.
    pub(super) fn requires(&self) -> bool {
        let signatures = self.signatures.as_ref();
        signatures.is_some_and(|signatures| signatures.are_required())
    }

    /// The header of a frame that came on this lane, if it is one of this version that is proven as it must be, and was sent
    /// on the lane. What is dropped is counted.
    ///
    /// # Errors
    /// What the frame's signature lacks, if it was dropped for that.
    pub(super) fn read(
        &self,
        lane: Lane,
        bytes: &Bytes,
        counters: &mut NodeCounters,
    ) -> Result<Frame, Option<Unproven>> {
        if bytes.len() <= self.limit {
            self.prove(bytes, counters).map_err(Some)?;
        }
        match Frame::decode(bytes, self.limit) {
            Ok(Decoded::Frame(frame)) if Lane(frame.header().lane) == lane => return Ok(frame),
            Ok(Decoded::Frame(_)) => counters.misplaced += 1,
            Ok(Decoded::UnknownVersion(_)) => counters.unknown_versions += 1,
            Err(_) => counters.malformed += 1,
        }
        Err(None)
    }

    fn prove(&self, bytes: &[u8], counters: &mut NodeCounters) -> Result<(), Unproven> {
        let Some(signatures) = &self.signatures else {
            return Ok(());
        };
        let Err(unproven) = signatures.verify(bytes) else {
            return Ok(());
        };
        match unproven {
            Unproven::Unsigned => counters.unsigned += 1,
            Unproven::UnknownKey(_) => counters.unknown_keys += 1,
            Unproven::WrongTag => counters.wrong_tags += 1,
        }
        match signatures.takes(unproven) {
            true => Ok(()),
            false => Err(unproven),
        }
    }
}
