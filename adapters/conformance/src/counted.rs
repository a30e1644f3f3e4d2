//! A bus that counts the frames of others that arrive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use midplane::bus::{Bus, BusError, Inbound, Lane, Limits, Link};
use midplane::envelope::{Decoded, Frame, Message, NodeId};

/// A [`Bus`] of one node that counts the frames with events that arrive of others, by lane. Frames of heartbeats and
/// questions alone are not counted.
#[derive(Debug)]
pub struct Counted {
    bus: Arc<dyn Bus>,
    node: NodeId,
    frames: Arc<Mutex<BTreeMap<Lane, u64>>>,
}

impl Counted {
    /// Counts the frames that arrive from this bus and are not of this node, from zero.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, node: NodeId) -> Self {
        let frames = Arc::default();
        Self { bus, node, frames }
    }

    /// The frames that arrived, by lane.
    #[must_use]
    pub fn frames(&self) -> BTreeMap<Lane, u64> {
        // A panic under the lock leaves the counts whole.
        let frames = self.frames.lock();
        frames.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Bus for Counted {
    fn limits(&self) -> Limits {
        self.bus.limits()
    }

    fn prefix(&self) -> &str {
        self.bus.prefix()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let Link { transmit, frames } = self.bus.connect().await?;
        let (counts, limit, node) = (self.frames.clone(), self.limits().frame, self.node);
        let counted = frames.inspect(move |inbound| {
            if let Ok(Inbound { lane, frame }) = inbound
                && has_events_of_others(frame, limit, node)
            {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(*lane).or_default() += 1;
            }
        });
        Ok(Link {
            transmit,
            frames: counted.boxed(),
        })
    }
}

fn has_events_of_others(frame: &Bytes, limit: usize, node: NodeId) -> bool {
    let Ok(Decoded::Frame(frame)) = Frame::decode(frame, limit) else {
        return false;
    };
    if frame.header().origin == node {
        return false;
    }
    let mut messages = frame.messages();
    messages.any(|(_, message)| matches!(message, Ok(Message::Publish { .. })))
}
