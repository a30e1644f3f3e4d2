//! What the driver hands over: from its pushes to the frames that wait, or to the end of the session.

use bytes::Bytes;
use midplane_core::bus::{BusErrorKind, End, Inbound, Inbox, Lane};
use parking_lot::RawMutex;
use redis::{PushInfo, PushKind, Value};

/// What a session hears, and why it is over.
#[derive(Debug)]
pub(crate) struct Pushes {
    /// The prefix of the channels, with the colon.
    prefix: String,
    /// The server, for messages.
    address: String,
    pub(crate) inbox: Inbox<RawMutex>,
}

impl Pushes {
    pub(crate) fn new(prefix: &str, address: &str, queue: usize) -> Self {
        Self {
            prefix: format!("{prefix}:"),
            address: address.into(),
            inbox: Inbox::new(queue),
        }
    }

    pub(crate) fn channel(&self, lane: Lane) -> String {
        format!("{}{}", self.prefix, lane.0)
    }

    /// Takes what the driver hands over, in the driver's task.
    pub(crate) fn take(&self, push: PushInfo) {
        match push.kind {
            PushKind::Message => match self.parse(push.data) {
                Some(inbound) => self.inbox.push(inbound),
                None => self.fail(
                    BusErrorKind::Protocol,
                    "was sent a message on a channel that it did not subscribe to",
                ),
            },
            PushKind::Disconnection => {
                self.fail(BusErrorKind::Unreachable, "lost its connection");
            }
            // Acknowledgements, which the driver itself waits for, and what a server may add one day.
            _ => {}
        }
    }

    /// Ends the session, unless it has ended: `what` goes on from "the session".
    pub(crate) fn fail(&self, kind: BusErrorKind, what: &str) {
        let message = format!("the session with redis at {} {what}", self.address);
        self.inbox.end(End::Failed(kind, message));
    }

    fn parse(&self, data: Vec<Value>) -> Option<Inbound> {
        let [Value::BulkString(channel), Value::BulkString(frame)] =
            <[Value; 2]>::try_from(data).ok()?
        else {
            return None;
        };
        let lane = channel.strip_prefix(self.prefix.as_bytes())?;
        let lane = std::str::from_utf8(lane).ok()?.parse().ok()?;
        Some(Inbound {
            lane: Lane(lane),
            frame: Bytes::from(frame),
        })
    }
}
