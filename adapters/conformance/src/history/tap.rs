//! A bus with someone listening: which event went under which number.

use std::sync::Arc;

use async_trait::async_trait;
use midplane::bus::{Bus, BusError, Lane, Limits, Link, Outbound, Transmit};
use midplane::envelope::{Decoded, Frame, Message};

use super::{Fact, Mark, Recorder};

/// A [`Bus`] that writes down every message a node hands to it, whether or not it then gets through.
#[derive(Debug)]
pub struct Tapped {
    bus: Arc<dyn Bus>,
    recorder: Recorder,
}

impl Tapped {
    /// A tap on this bus.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, recorder: Recorder) -> Self {
        Self { bus, recorder }
    }
}

#[async_trait]
impl Bus for Tapped {
    fn limits(&self) -> Limits {
        self.bus.limits()
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

impl Tap {
    fn note(&self, outbound: &Outbound) {
        let Ok(Decoded::Frame(frame)) = Frame::decode(&outbound.frame, self.limits.frame) else {
            return;
        };
        let (origin, first) = (frame.header().origin, frame.header().first);
        for (number, message) in frame.messages() {
            let mark = match message {
                Ok(Message::Publish { event, .. }) => Mark::read(event.bytes()),
                _ => None,
            };
            let lane = outbound.lane.0;
            self.recorder.note(Fact::Sent {
                origin,
                lane,
                number,
                frame: first,
                mark,
            });
        }
    }
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
        frames.iter().for_each(|frame| self.note(frame));
        self.transmit.send(frames).await
    }

    async fn close(&mut self) -> Result<(), BusError> {
        self.transmit.close().await
    }
}
