//! What the driver hands over: from its pushes to the frames that wait, or to the end of the link.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use midplane_core::bus::{BusErrorKind, End, Inbound, Inbox, Lane, Prefix};
use parking_lot::{Mutex, RawMutex};
use redis::{PushInfo, PushKind, Value};

/// What stands between a prefix and a lane.
const SEPARATOR: char = ':';

/// Where the driver's tasks put what a link receives, and the reason for which the link is over.
#[derive(Debug)]
pub(crate) struct Pushes {
    prefix: Prefix,
    pub(crate) inbox: Arc<Inbox<RawMutex>>,
    /// The lanes that this link asked to be unsubscribed from. Any other subscription is taken by the server.
    leaving: Mutex<BTreeSet<Lane>>,
}

impl Pushes {
    pub(crate) fn new(prefix: Prefix, queue: usize) -> Self {
        Self {
            prefix,
            inbox: Arc::new(Inbox::new(queue)),
            leaving: Mutex::default(),
        }
    }

    pub(crate) fn channel(&self, lane: Lane) -> String {
        self.prefix.channel(SEPARATOR, lane)
    }

    /// Lets the server say that these are unsubscribed.
    pub(crate) fn leave(&self, lanes: &BTreeSet<Lane>) {
        self.leaving.lock().extend(lanes);
    }

    /// Takes what the driver hands over from the server at this address, in the driver's task.
    pub(crate) fn take(&self, address: &str, push: PushInfo) {
        match push.kind {
            PushKind::Message | PushKind::SMessage => match self.parse(push.data) {
                Some(inbound) => self.inbox.push(inbound),
                None => self.fail(
                    BusErrorKind::Protocol,
                    address,
                    "was sent a message on a channel that it did not subscribe to",
                ),
            },
            PushKind::Unsubscribe | PushKind::SUnsubscribe => {
                let lane = push.data.first().and_then(|channel| self.lane(channel));
                if !lane.is_some_and(|lane| self.leaving.lock().remove(&lane)) {
                    self.fail(
                        BusErrorKind::Unreachable,
                        address,
                        "lost a subscription: the server has given the slot of its channel to another",
                    );
                }
            }
            PushKind::Disconnection => {
                self.fail(BusErrorKind::Unreachable, address, "lost its connection");
            }
            // Acknowledgements, which the driver itself waits for, and what a server may add one day.
            _ => {}
        }
    }

    /// Ends the link, unless it has ended: `what` goes on from "the link with redis at this address".
    fn fail(&self, kind: BusErrorKind, address: &str, what: &str) {
        self.inbox.end(failed(kind, address, what));
    }

    fn parse(&self, data: Vec<Value>) -> Option<Inbound> {
        let [channel, Value::BulkString(frame)] = <[Value; 2]>::try_from(data).ok()? else {
            return None;
        };
        Some(Inbound {
            lane: self.lane(&channel)?,
            frame: Bytes::from(frame),
        })
    }

    fn lane(&self, channel: &Value) -> Option<Lane> {
        let Value::BulkString(channel) = channel else {
            return None;
        };
        let channel = std::str::from_utf8(channel).ok()?;
        self.prefix.lane(SEPARATOR, channel)
    }
}

/// The end of a link: `what` goes on from "the link with redis at this address".
pub(crate) fn failed(kind: BusErrorKind, address: &str, what: &str) -> End {
    End::Failed(kind, format!("the link with redis at {address} {what}"))
}
