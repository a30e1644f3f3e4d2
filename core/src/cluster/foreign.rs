//! What comes from programs that are no nodes.

use alloc::format;
use alloc::string::String;

use super::parts::Decode;
use crate::audience::Audience;
use crate::bus::Inbound;
use crate::event::Event;
use crate::host::Host;
use crate::registry::Registry;
use crate::target::Scope;

/// What is kept of the reason why a message was refused, in characters: its writer is a stranger.
const REASON: usize = 200;

/// An event that a program published that is no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The scope of the audience.
    pub scope: Scope,
    /// Whom the event is for.
    pub audience: Audience,
    /// The event.
    pub event: Event,
}

/// What became of the messages of programs that are no nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignCounts {
    /// Messages that were understood and handed to whoever of their audience is here.
    pub understood: u64,
    /// Messages that were not, or were too large or too old.
    pub refused: u64,
    /// Why the last of them was refused.
    pub refusal: Option<String>,
}

/// The ear for strangers.
pub(super) struct Ear {
    pub(super) decode: Decode,
    pub(super) counts: ForeignCounts,
    /// The largest message that is looked at, in bytes.
    pub(super) limit: usize,
}

impl Ear {
    /// Takes a message; `stalled` if it may be of any age.
    pub(super) fn take<H: Host>(
        &mut self,
        inbound: &Inbound,
        stalled: bool,
        registry: &Registry<H>,
    ) {
        match self.read(inbound, stalled) {
            Ok(Foreign {
                scope,
                audience,
                event,
            }) => {
                self.counts.understood += 1;
                registry.deliver(&scope, &audience, &event);
            }
            Err(reason) => {
                self.counts.refused += 1;
                self.counts.refusal = Some(reason.chars().take(REASON).collect());
            }
        }
    }

    fn read(&self, inbound: &Inbound, stalled: bool) -> Result<Foreign, String> {
        let (bytes, limit) = (inbound.frame.len(), self.limit);
        if stalled {
            return Err("it may have waited for too long".into());
        }
        if bytes > limit {
            return Err(format!("it has {bytes} bytes, at most {limit} are read"));
        }
        (self.decode)(&inbound.frame)
    }
}
