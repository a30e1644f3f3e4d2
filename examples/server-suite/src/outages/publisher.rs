//! Publishers that go on at a steady rate, and record what became of each event.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use midplane_testkit::eventually;
use midplane_testkit::lock::locked;
use midplane_testkit::wait::pause;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_websockets::Message;

use super::history::EventKey;
use crate::client::{Arrival, Client};
use crate::endpoint::{Endpoint, publication, target};
use crate::http::Request;

/// What became of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Publication {
    pub(super) key: EventKey,
    /// When the request left.
    pub(super) called: Instant,
    /// Whether the server took it for the other servers too; `None` without an answer.
    pub(super) accepted: Option<bool>,
}

/// A publisher's record, and the switch that lets it publish.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    state: Mutex<PublisherState>,
}

#[derive(Debug, Default)]
struct PublisherState {
    running: bool,
    busy: bool,
    ended: bool,
    publications: Vec<Publication>,
}

/// How a publisher reaches its server.
pub(super) enum Way {
    /// A WebSocket of its own, which is in the topics: no other may publish there.
    WebSocket(Box<Client>),
    /// A connection for each request.
    Http(Endpoint),
}

impl Publisher {
    /// Starts a publisher, which waits until it is [resumed](Self::resume), on these topics in turn.
    pub(super) fn start(
        publisher: usize,
        way: Way,
        topics: Arc<[String]>,
        every: Duration,
    ) -> Arc<Self> {
        let this = Arc::new(Self::default());
        tokio::spawn(this.clone().publish(publisher, way, topics, every));
        this
    }

    pub(super) fn resume(&self) {
        locked(&self.state).running = true;
    }

    /// Lets the publisher finish what it is at, and publish no more.
    pub(super) async fn rest(&self) {
        locked(&self.state).running = false;
        eventually("a publisher has its answer", || {
            let state = locked(&self.state);
            state.ended || !state.busy
        })
        .await;
    }

    /// The events from this place of the record on.
    pub(super) fn publications(&self, from: usize) -> Vec<Publication> {
        locked(&self.state).publications[from..].to_vec()
    }

    /// How many events are in the record.
    pub(super) fn count(&self) -> usize {
        locked(&self.state).publications.len()
    }

    async fn publish(
        self: Arc<Self>,
        publisher: usize,
        mut way: Way,
        topics: Arc<[String]>,
        every: Duration,
    ) {
        let mut next = Instant::now();
        for count in 0.. {
            let due = async {
                sleep(next.saturating_duration_since(Instant::now())).await;
                while !self.begins() {
                    pause().await;
                }
            };
            way.read_until(due).await;
            let called = Instant::now();
            // An answer that came late is not made up for.
            next = called + every;
            let topic = count % topics.len();
            let key = EventKey {
                publisher,
                topic,
                number: (count / topics.len()) as u64 + 1,
            };
            let body = publication(&target("topic", &topics[topic]), &event(key));
            let answer = way.publish(&body, count).await;
            let mut state = locked(&self.state);
            state.busy = false;
            state.publications.push(Publication {
                key,
                called,
                accepted: answer.as_ref().map(|answer| answer["relay"] == "queued"),
            });
            if answer.is_none() {
                state.ended = true;
                return;
            }
        }
    }

    /// Whether the publisher is to publish now.
    fn begins(&self) -> bool {
        let mut state = locked(&self.state);
        state.busy = state.running;
        state.busy
    }
}

impl Way {
    /// Reads what comes until this future ends: a client that reads nothing is cut off.
    async fn read_until(&mut self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        if let Self::WebSocket(client) = self {
            loop {
                match select(end.as_mut(), pin!(client.next_at_any_time())).await {
                    Either::Left(_) => return,
                    Either::Right((Arrival::Close(_) | Arrival::End, _)) => break,
                    Either::Right(_) => {}
                }
            }
        }
        end.await;
    }

    /// The answer to a request, unless the server is gone.
    async fn publish(&mut self, body: &str, id: usize) -> Option<Value> {
        let client = match self {
            Self::Http(endpoint) => return post(endpoint, body).await,
            Self::WebSocket(client) => client,
        };
        // The request is the body and what makes it one of a WebSocket.
        let rest = body.strip_prefix('{').unwrap_or_default();
        let request = format!(r#"{{"request":"publish","exclude_self":true,"id":{id},{rest}"#);
        client.try_send(Message::text(request)).await;
        loop {
            match client.next_at_any_time().await {
                Arrival::Own(own) if own["id"] == id => return Some(own),
                Arrival::Own(_) | Arrival::Event(_) => {}
                Arrival::Close(_) | Arrival::End => return None,
            }
        }
    }
}

/// The answer to a request on a connection of its own, unless the server is gone.
async fn post(endpoint: &Endpoint, body: &str) -> Option<Value> {
    let request = Request::publish(body).header("content-type", "application/json");
    let mut stream = TcpStream::connect(endpoint.address).await.ok()?;
    let mut answer = String::new();
    stream
        .write_all(&request.bytes(endpoint.address))
        .await
        .ok()?;
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// An event of about 200 bytes.
fn event(key: EventKey) -> String {
    let EventKey {
        publisher,
        topic,
        number,
    } = key;
    let pad = "x".repeat(130);
    json!({ "publisher": publisher, "topic": topic, "number": number, "pad": pad }).to_string()
}
