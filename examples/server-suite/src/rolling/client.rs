//! A client that connects again as `/midplane.js` does, and remembers what it got.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use midplane_testkit::lock::locked;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_websockets::{ClientBuilder, Message};

use super::balancer::Balancer;
use super::publisher::{SERVERS, TOPIC};

/// The first and the longest pause before connecting again, as in `/midplane.js`.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(16)];

/// A handshake that takes longer has failed.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A client, and its history.
#[derive(Debug)]
pub(super) struct ReturningClient {
    balancer: Arc<Balancer>,
    stays: Mutex<Vec<Stay>>,
}

/// What came between a join and the end of its connection.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    /// When the join was answered.
    pub(super) joined: Instant,
    /// Whether the connection is gone.
    pub(super) ended: bool,
    /// What came of each server.
    pub(super) flows: [Option<Flow>; SERVERS],
    /// How often the client was told of a loss.
    pub(super) told: u64,
}

/// The events of one server that came, by their numbers.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The numbers between them that did not come.
    pub(super) missing: Vec<RangeInclusive<u64>>,
    /// How many came a second time, or too late.
    pub(super) disordered: u64,
}

impl Flow {
    fn take(flow: &mut Option<Self>, number: u64) {
        let Some(flow) = flow else {
            *flow = Some(Self {
                first: number,
                last: number,
                missing: Vec::new(),
                disordered: 0,
            });
            return;
        };
        if number <= flow.last {
            flow.disordered += 1;
            return;
        }
        if number > flow.last + 1 {
            flow.missing.push(flow.last + 1..=number - 1);
        }
        flow.last = number;
    }
}

impl ReturningClient {
    pub(super) fn new(balancer: Arc<Balancer>) -> Self {
        Self {
            balancer,
            stays: Mutex::default(),
        }
    }

    /// Connects, and again whenever the connection ends.
    pub(super) async fn run(self: Arc<Self>) {
        let mut attempts = 0;
        loop {
            let (opened, hint) = self.stay().await;
            if opened {
                attempts = 0;
            }
            let pause = (PAUSES[0] * 2_u32.pow(attempts)).min(PAUSES[1]);
            attempts = (attempts + 1).min(6);
            sleep(hint.unwrap_or_else(|| pause.mul_f64(0.5 + random() / 2.0))).await;
        }
    }

    /// One connection from beginning to end: whether it opened, and for how long the server asked to stay away.
    async fn stay(&self) -> (bool, Option<Duration>) {
        let Some(assignment) = self.balancer.assignment() else {
            return (false, None);
        };
        let url = format!("ws://{}/ws", assignment.address());
        let opening = async {
            let stream = TcpStream::connect(assignment.address()).await.ok()?;
            let builder = ClientBuilder::new().uri(&url).expect("a url");
            let (socket, _) = builder.connect_on(stream).await.ok()?;
            Some(socket)
        };
        let Ok(Some(mut socket)) = timeout(HANDSHAKE_LIMIT, opening).await else {
            return (false, None);
        };
        let join = json!({"request": "join", "topic": TOPIC}).to_string();
        if socket.send(Message::text(join)).await.is_err() {
            return (false, None);
        }
        let (mut opened, mut hint) = (false, None);
        while let Some(Ok(message)) = socket.next().await {
            let Some(text) = message.as_text() else {
                continue;
            };
            let said: Value = serde_json::from_str(text).expect("the server speaks JSON");
            match said["midplane"].as_str() {
                None => self.take(&said),
                Some("joined") => {
                    opened = true;
                    locked(&self.stays).push(Stay {
                        joined: Instant::now(),
                        ended: false,
                        flows: Default::default(),
                        told: 0,
                    });
                }
                Some("missed" | "lost") => self.now(|stay| stay.told += 1),
                Some("closing") => {
                    hint = said["return_after_ms"].as_u64().map(Duration::from_millis);
                }
                Some(_) => {}
            }
        }
        self.now(|stay| stay.ended = true);
        (opened, hint)
    }

    fn take(&self, event: &Value) {
        let number = |key: &str| event[key].as_u64();
        let (Some(server), Some(number)) = (number("server"), number("number")) else {
            return;
        };
        self.now(|stay| Flow::take(&mut stay.flows[server as usize], number));
    }

    fn now(&self, change: impl FnOnce(&mut Stay)) {
        locked(&self.stays).last_mut().map(change);
    }

    /// Whether the client is connected and in the topic.
    pub(super) fn is_in(&self) -> bool {
        locked(&self.stays).last().is_some_and(|stay| !stay.ended)
    }

    /// When the client was in the topic again, after each time that it came back since then.
    pub(super) fn returns(&self, since: Instant) -> Vec<Instant> {
        let stays = locked(&self.stays);
        let joined = stays.iter().skip(1).map(|stay| stay.joined);
        joined.filter(|joined| *joined > since).collect()
    }

    pub(super) fn stays(&self) -> Vec<Stay> {
        locked(&self.stays).clone()
    }
}

/// A number from 0 to 1, another one each time.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
