//! Events of external publishers: programs that are no nodes.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use bytes::Bytes;

use crate::audience::Audience;
use crate::bus::Inbound;
use crate::event::Event;
use crate::host::Host;
use crate::registry::Registry;
use crate::status::ExternalCounts;
use crate::target::Scope;

/// The most that is kept of the reason why a message was refused, in characters: the text may quote the message, and
/// anyone may have written that.
const REASON: usize = 200;

/// Reads one message of [`Lane::JSON`](crate::bus::Lane::JSON), or says what is wrong with it.
pub(super) type Decode = Arc<dyn Fn(&Bytes) -> Result<ExternalEvent, String> + Send + Sync>;

/// An event of an external publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalEvent {
    /// The scope of the audience.
    pub scope: Scope,
    /// The audience of the event.
    pub audience: Audience,
    /// The event.
    pub event: Event,
}

/// The subscription to the events of external publishers.
pub(super) struct ExternalSubscription {
    decode: Decode,
    counts: ExternalCounts,
    /// The largest message that is read, in bytes.
    limit: usize,
    /// Signatures are required, and these messages have none.
    closed: bool,
}

impl ExternalSubscription {
    pub(super) fn new(decode: Decode, limit: usize, closed: bool) -> Self {
        Self {
            decode,
            counts: ExternalCounts::default(),
            limit,
            closed,
        }
    }

    pub(super) fn counts(&self) -> &ExternalCounts {
        &self.counts
    }

    /// Delivers a message to its audience on this node; `stalled` if the message may be of any age.
    pub(super) fn receive<H: Host>(
        &mut self,
        inbound: &Inbound,
        stalled: bool,
        registry: &Registry<H>,
    ) {
        match self.read(inbound, stalled) {
            Ok(ExternalEvent {
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

    fn read(&self, inbound: &Inbound, stalled: bool) -> Result<ExternalEvent, String> {
        let (bytes, limit) = (inbound.frame.len(), self.limit);
        if self.closed {
            return Err("signatures are required, and external publishers have none".into());
        }
        if stalled {
            return Err("the message may be older than its time to live".into());
        }
        if bytes > limit {
            return Err(format!(
                "the message has {bytes} bytes, the limit is {limit}"
            ));
        }
        (self.decode)(&inbound.frame)
    }
}
