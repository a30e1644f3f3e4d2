//! What clients get, each recorded as it arrives.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use midplane_testkit::lock::locked;
use serde_json::Value;

use crate::client::{Arrival, Client};

/// An event: the publisher, the topic, and the number that this publisher gave it on this topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EventKey {
    pub(super) publisher: usize,
    pub(super) topic: usize,
    pub(super) number: u64,
}

impl EventKey {
    /// The key that is written in an event.
    fn read(event: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(event).ok()?;
        let field = |name: &str| event[name].as_u64();
        Some(Self {
            publisher: field("publisher")? as usize,
            topic: field("topic")? as usize,
            number: field("number")?,
        })
    }
}

/// What a client got that is no event in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Remark {
    /// An event that had come before.
    Twice(EventKey),
    /// An event that was published before one that had come from its publisher on its topic.
    OutOfOrder(EventKey),
    /// An event that nobody published for this client.
    Foreign(String),
    /// The server says that events were missed.
    Missed(Value),
    /// The server says that the mailbox of this client was full.
    Overran(u64),
    /// Another message of the server's own.
    Said(Value),
    /// The connection ended.
    Ended,
}

/// The history of one client, from when it had joined its topics.
#[derive(Debug)]
pub(super) struct ClientHistory {
    /// The place of its server.
    pub(super) server: usize,
    /// The topics that it joined, by number.
    pub(super) topics: Vec<usize>,
    /// When the server had answered that it had joined them all.
    pub(super) joined: Instant,
    arrivals: Mutex<Arrivals>,
}

#[derive(Debug, Default)]
struct Arrivals {
    /// When each event came first.
    came: HashMap<EventKey, Instant>,
    /// The largest number that came from a publisher on a topic.
    last: HashMap<(usize, usize), u64>,
    remarks: Vec<(Instant, Remark)>,
    latest: Option<Instant>,
}

impl ClientHistory {
    pub(super) fn new(server: usize, topics: Vec<usize>, joined: Instant) -> Self {
        Self {
            server,
            topics,
            joined,
            arrivals: Mutex::default(),
        }
    }

    /// Records what the client gets until its connection ends.
    pub(super) async fn record(&self, mut client: Client) {
        loop {
            let arrival = client.next_at_any_time().await;
            let ends = matches!(arrival, Arrival::Close(_) | Arrival::End);
            self.add(Instant::now(), arrival);
            if ends {
                return;
            }
        }
    }

    pub(super) fn add(&self, at: Instant, arrival: Arrival) {
        let mut arrivals = locked(&self.arrivals);
        arrivals.latest = Some(at);
        let remark = match arrival {
            Arrival::Event(event) => match EventKey::read(&event) {
                Some(key) if self.topics.contains(&key.topic) => match arrivals.add(at, key) {
                    Some(remark) => remark,
                    None => return,
                },
                _ => Remark::Foreign(event),
            },
            Arrival::Own(own) if own["midplane"] == "missed" => Remark::Missed(own),
            Arrival::Own(own) if own["midplane"] == "lost" => {
                Remark::Overran(own["count"].as_u64().unwrap_or(1))
            }
            Arrival::Own(own) => Remark::Said(own),
            Arrival::Close(_) | Arrival::End => Remark::Ended,
        };
        arrivals.remarks.push((at, remark));
    }

    /// When an event came first.
    pub(super) fn came(&self, key: EventKey) -> Option<Instant> {
        locked(&self.arrivals).came.get(&key).copied()
    }

    /// What came that is no event in its place, from this moment on.
    pub(super) fn remarks(&self, since: Instant) -> Vec<(Instant, Remark)> {
        let arrivals = locked(&self.arrivals);
        let remarks = arrivals.remarks.iter().filter(|(at, _)| *at >= since);
        remarks.cloned().collect()
    }

    /// When anything came last.
    pub(super) fn latest(&self) -> Option<Instant> {
        locked(&self.arrivals).latest
    }
}

impl Arrivals {
    /// Adds an event; the answer is what is wrong with it.
    fn add(&mut self, at: Instant, key: EventKey) -> Option<Remark> {
        if self.came.contains_key(&key) {
            return Some(Remark::Twice(key));
        }
        self.came.insert(key, at);
        let last = self.last.entry((key.publisher, key.topic)).or_default();
        if key.number < *last {
            return Some(Remark::OutOfOrder(key));
        }
        *last = key.number;
        None
    }
}
