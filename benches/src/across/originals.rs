//! What was done before there was this: JSON for each event, and one lock around maps at the other end.

use std::io;
use std::sync::Arc;

use benches::{Locked, Plane, id};
use midplane::{Audience, Event, Target, Verdict};
use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::failed;
use super::node::topic;

/// An event as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope {
    topic: String,
    event: String,
}

impl Envelope {
    pub(crate) fn json(payload: &str) -> io::Result<Vec<u8>> {
        let envelope = Self {
            topic: String::from("topic-0000"),
            event: payload.to_owned(),
        };
        serde_json::to_vec(&envelope).map_err(failed)
    }
}

/// Takes what arrives to a sink.
pub(crate) fn receive(arrivals: Arc<Arrivals>) -> impl Fn(&[u8]) + Send + Sync + 'static {
    let mut locked = Locked::empty();
    locked.attach(&id(0), move |_| {
        arrivals.add(1);
        Verdict::Accepted
    });
    locked.join_last(&topic(0));
    move |bytes| {
        let envelope: Result<Envelope, _> = serde_json::from_slice(bytes);
        if let Ok(envelope) = envelope
            && let Ok(target) = Target::topic(envelope.topic)
        {
            locked.publish(&Audience::from(target), &Event::text(envelope.event));
        }
    }
}
