//! midplane: a [`Local`] backplane.

use futures::FutureExt;
use midplane::{
    Attachment, Audience, Backplane, ConnectionId, Event, Local, Reach, Sink, Target, Verdict,
};

use super::MeasuredPlane;

/// A [`Local`] backplane and its living attachments.
#[derive(Debug)]
pub struct Midplane {
    /// The backplane.
    pub plane: Local,
    /// The attachments, in the order they were made.
    pub attachments: Vec<Attachment>,
}

impl MeasuredPlane for Midplane {
    const NAME: &'static str = "midplane";

    fn empty() -> Self {
        Self {
            plane: Local::new(),
            attachments: Vec::new(),
        }
    }

    fn expect_connections(&mut self, count: usize) {
        self.attachments.reserve(count);
    }

    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    ) {
        let attachment = self.plane.attach(id.clone(), Sink::new(sink));
        self.attachments.push(attachment);
    }

    fn join_last(&mut self, target: &Target) {
        if let Some(attachment) = self.attachments.last() {
            assert_eq!(
                attachment.associate(target).now_or_never(),
                Some(Ok(Reach::Everywhere))
            );
        }
    }

    /// Awaits the end of the detach, which nothing delays here.
    fn detach_last(&mut self) {
        if let Some(attachment) = self.attachments.pop() {
            assert_eq!(attachment.detach().now_or_never(), Some(()));
        }
    }

    fn publish(&self, audience: &Audience, event: &Event) -> usize {
        self.plane.publish(audience, event).into()
    }
}
