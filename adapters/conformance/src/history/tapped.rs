//! A bus that records which event was sent under which number.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use midplane::bus::{Bus, BusError, Lane, Limits, Link, Outbound, Transmit};
use midplane::envelope::{Decoded, Frame, Message};

use super::fact::Fact;
use super::recorder::Recorder;
use super::tag::EventTag;

/// A [`Bus`] that records every message its node hands to it, whether or not the message then arrives.
#[derive(Debug)]
pub struct TappedBus {
    bus: Arc<dyn Bus>,
    recorder: Recorder,
}

impl TappedBus {
    /// Records what is sent through this bus.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, recorder: Recorder) -> Self {
        Self { bus, recorder }
    }
}

/// Records each message of a frame as sent; records nothing if the bytes are no frame of this version.
pub fn record_frame(recorder: &Recorder, frame: &Bytes, limit: usize) {
    let Ok(Decoded::Frame(frame)) = Frame::decode(frame, limit) else {
        return;
    };
    let header = frame.header();
    for (number, message) in frame.messages() {
        let Some(number) = number else {
            continue;
        };
        let tag = match &message {
            Ok(Message::Publish { event, .. }) => EventTag::read(event.bytes()),
            Ok(Message::Unknown { body, .. }) => EventTag::read(body),
            _ => None,
        };
        // A receiver skips a message of an unknown kind alone, not the whole frame.
        let alone = matches!(message, Ok(Message::Unknown { .. }));
        recorder.record(Fact::Sent {
            origin: header.origin,
            lane: header.lane,
            number,
            frame: if alone { number } else { header.first },
            tag,
        });
    }
}

#[async_trait]
impl Bus for TappedBus {
    fn limits(&self) -> Limits {
        self.bus.limits()
    }

    fn prefix(&self) -> &str {
        self.bus.prefix()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let Link { transmit, frames } = self.bus.connect().await?;
        let transmit = Box::new(Tap {
            transmit,
            limits: self.bus.limits(),
            recorder: self.recorder.clone(),
        });
        Ok(Link { transmit, frames })
    }
}

struct Tap {
    transmit: Box<dyn Transmit>,
    limits: Limits,
    recorder: Recorder,
}

#[async_trait]
impl Transmit for Tap {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.transmit.subscribe(lanes).await
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.transmit.unsubscribe(lanes).await
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        for outbound in frames {
            record_frame(&self.recorder, &outbound.frame, self.limits.frame);
        }
        self.transmit.send(frames).await
    }

    async fn close(&mut self) -> Result<(), BusError> {
        self.transmit.close().await
    }
}
