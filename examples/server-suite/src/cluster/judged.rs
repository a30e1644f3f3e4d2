//! What clients saw of servers that fail, and what those logged, judged by the oracle that judges nodes.

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use midplane::envelope::NodeId;
use midplane::{Audience, ConnectionId, Event, Reach, Scope, Target};
use midplane_conformance::history::{
    Accounting, AttachmentId, Bounds, Check, EventTag, Fact, History, Recorder, Relayed,
    SinkCounts, SinkOutcome, StallWatch, hash,
};
use midplane_testkit::child::Signal;
use midplane_testkit::process;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_websockets::Message;

use super::log::{node_id, records};
use super::nodes::{HEARTBEAT, Nodes, met, topic};
use super::{Programs, ServerKind};
use crate::client::{Arrival, Client};
use crate::fixture::Server;
use crate::flags::LARGE_MAILBOX;

/// The time between two events of a publisher.
const PACE: Duration = Duration::from_millis(20);

/// The time to live of an event, also as the flag has it.
const TIME_TO_LIVE: Duration = Duration::from_secs(4);
const FLAGS: &str = "--time-to-live 4s";

/// How long after a client was told something its fact may be recorded.
const LATE: Duration = Duration::from_secs(2);

/// By how much the memory of a server may differ from what it was, in bytes: less than a KiB for each event.
const GROWTH: u64 = 4 << 20;

/// Of five servers, the one that serves throughout, and those that lose their descriptors, stand still, are killed, and
/// are told to end.
const STEADY: usize = 0;
const POOR: usize = 1;
const STILL: usize = 2;
const KILLED: usize = 3;
const ENDED: usize = 4;

/// While clients publish to five servers, one is killed, one told to end, one stands still for longer than an event
/// lives, and one has no descriptors left when the broker is killed and comes back. All that clients of the others
/// lost, those have said. The servers that are on tokio on Redis and NATS are on smol on Valkey and Postgres.
pub async fn servers_that_fail_one_after_the_other(programs: Programs, kind: ServerKind) {
    let [tokio_first, smol_first] = programs.in_both_orders();
    let programs = match kind {
        ServerKind::Redis | ServerKind::Nats => tokio_first,
        ServerKind::Valkey | ServerKind::Postgres => smol_first,
    };
    let broker = kind.start();
    let epoch = SystemTime::now();
    let recorder = Recorder::new(move || epoch.elapsed().unwrap_or_default());
    let stalls = StallWatch::start(&recorder);
    let flags = format!("{FLAGS} {LARGE_MAILBOX}");
    let mut cluster = JudgedCluster {
        nodes: Vec::new(),
        recorder,
        resting: Arc::default(),
    };
    let mut nodes = Nodes::start(programs, 5, &broker.url(), &flags).await;
    nodes.listen().await;
    let servers = nodes.servers.into_iter().zip(nodes.clients);
    for (which, (server, client)) in servers.enumerate() {
        // A client of a server that ends loses its connection, and is told nothing.
        let listens = which != KILLED && which != ENDED;
        cluster.admit(server, client, listens).await;
    }
    sleep(HEARTBEAT).await;
    let base = cluster.memory();

    cluster.nodes[KILLED].server.signal(Signal::KILL);
    cluster.record(Fact::Crashed(cluster.nodes[KILLED].node));
    sleep(HEARTBEAT).await;

    let ended = &mut cluster.nodes[ENDED];
    cluster.recorder.record(Fact::Closing(ended.node));
    ended.server.signal(Signal::TERM);
    ended.server.ends_with(0).await;
    cluster.recorder.record(Fact::Closed {
        node: ended.node,
        unsent: 0,
    });
    sleep(HEARTBEAT).await;

    let still = &cluster.nodes[STILL].server;
    cluster.record(Fact::FaultBegan);
    still.signal(Signal::STOP);
    sleep(TIME_TO_LIVE + HEARTBEAT).await;
    still.signal(Signal::CONT);
    cluster.record(Fact::FaultEnded);
    still.says_it_missed_something().await;
    cluster.all_ready().await;
    sleep(HEARTBEAT).await;

    let poor = &cluster.nodes[POOR].server;
    let pid = poor.child.id();
    let busy = || process::processor_time(pid).expect("the server lives");
    let (since, before) = (Instant::now(), busy());
    cluster.record(Fact::FaultBegan);
    process::limit_descriptors(pid, Some(0)).expect("the server lives");
    broker.kill();
    cluster.nodes[STEADY].server.is_unready(since).await;
    broker.restart();
    // The server can take no connection either until its limit is lifted.
    let connection = TcpStream::connect(poor.address).expect("the system takes it");
    cluster.nodes[STEADY].server.is_ready().await;
    sleep(HEARTBEAT).await;
    // The time of a thread that has ended does not count.
    let (busy, took) = (busy().saturating_sub(before), since.elapsed());
    assert!(busy < took / 2, "busy for {busy:?} of {took:?}");
    process::limit_descriptors(pid, None).expect("the server lives");
    cluster.record(Fact::FaultEnded);
    drop(connection);
    cluster.all_ready().await;
    sleep(HEARTBEAT).await;

    for (which, (base, memory)) in base.into_iter().zip(cluster.memory()).enumerate() {
        cluster.record(Fact::Level {
            what: format!("resident memory of server {which} at rest"),
            value: memory,
            cap: base + GROWTH,
        });
    }
    let history = cluster.finish(epoch).await;
    drop(stalls);
    // The receipt of a server is compared with what came below: its clients have not yet got what their sinks took.
    history.assert_holds_except(&bounds(), &[Check::Truthful]);
    receipts_tell_who_listens(&history);
}

fn bounds() -> Bounds {
    Bounds {
        heartbeat: HEARTBEAT,
        time_to_live: TIME_TO_LIVE,
        lanes: 1,
        delay: Duration::from_secs(2),
        notice: HEARTBEAT * 3,
        queue: u64::MAX,
        heal: HEARTBEAT * 16,
        accounting: Accounting::Connection,
        whole: None,
        clock: LATE,
    }
}

/// The servers, each with a client that publishes and maybe one that listens.
struct JudgedCluster {
    nodes: Vec<JudgedNode>,
    recorder: Recorder,
    /// Set once the publishers are to stop.
    resting: Arc<AtomicBool>,
}

struct JudgedNode {
    node: NodeId,
    server: Server,
    /// Whether its server answered until everything came to rest.
    publishing: JoinHandle<bool>,
    listening: Option<JoinHandle<()>>,
}

impl JudgedCluster {
    fn record(&self, fact: Fact) {
        self.recorder.record(fact);
    }

    async fn admit(&mut self, server: Server, client: Client, listens: bool) {
        let backplane = server.backplane().await;
        let node = backplane["node"].as_str().and_then(node_id);
        let node = node.expect("the server says which node it is");
        self.record(Fact::Started(node));
        let mut listening = None;
        if listens {
            let listener = listener(&self.recorder, node, &server).await;
            listening = Some(tokio::spawn(listen(listener, self.recorder.clone())));
        }
        // The client publishes to a topic that it is in, and leaves itself out.
        let publisher = Publisher {
            client,
            node,
            recorder: self.recorder.clone(),
        };
        self.nodes.push(JudgedNode {
            node,
            server,
            publishing: tokio::spawn(publisher.publish(self.resting.clone())),
            listening,
        });
    }

    /// Waits until all that have not ended are ready and know each other.
    async fn all_ready(&self) {
        let endpoints = [STEADY, POOR, STILL].map(|which| self.nodes[which].server.endpoint);
        met(&endpoints).await;
    }

    /// The resident bytes of the servers that do not end.
    fn memory(&self) -> [u64; 3] {
        let resident = |which: usize| process::resident_memory(self.nodes[which].server.child.id());
        [STEADY, POOR, STILL].map(|which| resident(which).expect("the server lives"))
    }

    /// Lets everything come to rest.
    async fn finish(self, epoch: SystemTime) -> History {
        self.resting.store(true, Ordering::Relaxed);
        let mut servers = Vec::new();
        for node in self.nodes {
            let answered = node.publishing.await.expect("it does not panic");
            let ends = node.listening.is_none();
            assert!(answered || ends, "a server that lives on does not answer");
            servers.push((node.node, node.server, node.listening));
        }
        // The heartbeats tell of what was lost last.
        sleep(HEARTBEAT * 5).await;
        let mut history = self.recorder.finish();
        for (node, server, listening) in servers {
            let log = records(node, &server.child.log(), epoch);
            let live = Fact::State { node, live: true };
            let says_so = log.iter().any(|record| record.fact == live);
            assert!(says_so, "a node that is never live owes nothing");
            history.records.extend(log);
            if let Some(listening) = listening {
                assert!(!listening.is_finished(), "the client was cut off");
                listening.abort();
            }
        }
        history.records.sort_by_key(|record| record.at);
        history
    }
}

/// A client in the topic.
async fn listener(recorder: &Recorder, node: NodeId, server: &Server) -> (Client, AttachmentId) {
    let mut client = Client::connect(server, "").await;
    let attachment = recorder.new_attachment();
    recorder.record(Fact::Attaching {
        attachment,
        node,
        scope: Scope::default(),
        connection: ConnectionId::new(&client.connection).expect("an id"),
    });
    recorder.record(Fact::Attached(attachment));
    let target = lobby();
    recorder.record(Fact::Associating {
        attachment,
        target: target.clone(),
    });
    client.join("t").await;
    recorder.record(Fact::Associated {
        attachment,
        target,
        reach: Some(Reach::Everywhere),
    });
    (client, attachment)
}

async fn listen((mut client, attachment): (Client, AttachmentId), recorder: Recorder) {
    loop {
        match client.next().await {
            Arrival::Event(event) => {
                let text = event.trim_matches('"').to_owned();
                recorder.record(Fact::Delivered {
                    attachment,
                    tag: EventTag::read(text.as_bytes()),
                    hash: hash(&Event::text(text)),
                    outcome: SinkOutcome::Accepted,
                });
            }
            Arrival::Own(own) if own["midplane"] == "missed" => {
                recorder.record(missed(attachment, &own, recorder.now()));
            }
            Arrival::Own(_) => {}
            Arrival::Close(_) | Arrival::End => return,
        }
    }
}

/// What a client is told that missed events. With one lane a message names no targets.
fn missed(attachment: AttachmentId, message: &Value, now: Duration) -> Fact {
    assert!(message.get("targets").is_none(), "{message}");
    let number = |what: &str| message[what].as_u64().expect("a number");
    let ago = |what: &str| now.saturating_sub(Duration::from_millis(number(what)));
    Fact::Missed {
        attachment,
        since: ago("since_ms_ago"),
        until: ago("until_ms_ago"),
        events: number("events"),
        exact: message["exact"].as_bool().expect("it is exact or not"),
        lanes: None,
    }
}

/// Publishes to the topic by one server, whose answers it waits for.
struct Publisher {
    client: Client,
    node: NodeId,
    recorder: Recorder,
}

impl Publisher {
    async fn publish(mut self, resting: Arc<AtomicBool>) -> bool {
        let publisher = self.recorder.new_publisher();
        let own = ConnectionId::new(&self.client.connection).expect("an id");
        let audience = Audience::from(lobby()).except(own);
        for number in 1.. {
            if resting.load(Ordering::Relaxed) {
                break;
            }
            let tag = EventTag { publisher, number };
            let event = tag.event(number as usize % 300);
            self.recorder.record(Fact::Publishing {
                tag,
                node: self.node,
                scope: Scope::default(),
                audience: audience.clone(),
                lane: 0,
                hash: hash(&event),
                bytes: event.bytes().len() as u64,
            });
            let request = json!({
                "request": "publish", "target": topic(), "event": event.as_text(),
                "exclude_self": true, "id": number
            });
            let message = Message::text(request.to_string());
            self.client.try_send(message).await;
            let Some(answer) = self.answer(number).await else {
                return false;
            };
            // A server that ends may say so once more before it does.
            if answer["code"] == "closing" {
                return false;
            }
            assert_eq!(answer["midplane"], "published", "{answer}");
            self.recorder.record(published(tag, &answer));
            sleep(PACE).await;
        }
        true
    }

    /// The answer to a request, if the server lives to give it.
    async fn answer(&mut self, id: u32) -> Option<Value> {
        loop {
            match self.client.next().await {
                Arrival::Own(own) if own["id"] == id => return Some(own),
                Arrival::Own(_) | Arrival::Event(_) => {}
                Arrival::Close(_) | Arrival::End => return None,
            }
        }
    }
}

fn published(tag: EventTag, answer: &Value) -> Fact {
    let count = |what: &str| answer[what].as_u64().expect("a count") as usize;
    Fact::Published {
        tag,
        counts: SinkCounts {
            accepted: count("accepted"),
            full: count("full"),
            closed: count("closed"),
            panicked: count("panicked"),
        },
        relay: match answer["relay"].as_str() {
            Some("queued") => Relayed::Queued,
            _ => Relayed::Not,
        },
    }
}

fn lobby() -> Target {
    Target::topic("t").expect("a topic of one letter")
}

/// One client listens on each server, or none.
fn receipts_tell_who_listens(history: &History) {
    let mut listens = HashSet::new();
    let mut nodes = HashMap::new();
    let mut published = 0;
    for record in &history.records {
        match &record.fact {
            Fact::Attaching { node, .. } => drop(listens.insert(*node)),
            Fact::Publishing { tag, node, .. } => drop(nodes.insert(*tag, *node)),
            Fact::Published { tag, counts, .. } => {
                let accepted = usize::from(listens.contains(&nodes[tag]));
                let expected = SinkCounts {
                    accepted,
                    ..SinkCounts::default()
                };
                assert_eq!(*counts, expected, "{tag}");
                published += 1;
            }
            _ => {}
        }
    }
    assert!(published > 500, "{published}");
}
