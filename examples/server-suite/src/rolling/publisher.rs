//! Publishes to one server, whenever that takes events.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use midplane_testkit::lock::locked;
use serde_json::json;
use tokio::time::{interval, timeout};

use crate::fixture::{publication, target};
use crate::http::Request;

/// How many servers there are.
pub(super) const SERVERS: usize = 3;

/// The topic that every client is in.
pub(super) const TOPIC: &str = "news";

/// A publish that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(5);

/// A publisher, and what came of each event, whose numbers begin with 0.
#[derive(Debug)]
pub(super) struct Publisher {
    server: usize,
    address: SocketAddr,
    stopped: AtomicBool,
    published: Mutex<Vec<Published>>,
}

/// What came of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) called: Instant,
    /// Whether the server said that the event goes to every node. An event that was not accepted may have come all the same.
    pub(super) accepted: bool,
}

impl Publisher {
    pub(super) fn new(server: usize, address: SocketAddr) -> Self {
        Self {
            server,
            address,
            stopped: AtomicBool::new(false),
            published: Mutex::default(),
        }
    }

    /// Publishes so many events a second until it is stopped.
    pub(super) async fn run(self: Arc<Self>, rate: u32) {
        let mut due = interval(Duration::from_secs(1) / rate);
        for number in 0_u64.. {
            due.tick().await;
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            let event = json!({"server": self.server, "number": number}).to_string();
            let request = Request::publish(publication(&target("topic", TOPIC), &event));
            let called = Instant::now();
            let answer = timeout(LIMIT, request.try_send(self.address)).await;
            let answer = answer.ok().flatten();
            locked(&self.published).push(Published {
                called,
                accepted: answer.is_some_and(|answer| answer.status == 200),
            });
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn published(&self) -> Vec<Published> {
        locked(&self.published).clone()
    }
}
