//! What a client is told of other nodes: how far it reaches, and what it may have missed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use midplane::{LaneMap, Scope, Target};
use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server as Broker;
use midplane_testkit::until;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::{Arrival, Client};
use crate::cluster::nodes::{listener, met, topic};
use crate::fixture::{Endpoint, Program, Server, target};
use crate::flags;

/// Topics of different names lie on different lanes.
const LANES: &str = "--lanes 4096";

/// The time for which a node can repair what another did not get, also as the flag has it.
const TIME_TO_LIVE: Duration = Duration::from_secs(2);
const SHORT_LIVED: &str = "--time-to-live 2s";

/// Two nodes of the program on a broker of their own: one that is published to, and one that can be cut off.
pub(crate) struct Pair {
    pub(crate) origin: Server,
    pub(crate) receiver: Server,
    broker: Broker,
    proxy: Proxy,
}

impl Pair {
    /// Starts the nodes with these flags, and a short heartbeat and time to live unless they have one.
    pub(crate) async fn start(program: Program, flags: &str) -> Self {
        let unless = |flag: &str, text| if flags.contains(flag) { "" } else { text };
        let beats = unless("--heartbeat", "--heartbeat 500ms");
        let lives = unless("--time-to-live", SHORT_LIVED);
        let broker = Broker::redis_with(&[]);
        let proxy = Proxy::start(broker.address());
        let node = |url| program.start(&format!("--backplane {url} {lives} {beats} {flags}"));
        let (origin, receiver) = (node(broker.url()), node(broker.url_at(proxy.address())));
        met(&[origin.endpoint, receiver.endpoint]).await;
        Self {
            origin,
            receiver,
            broker,
            proxy,
        }
    }

    /// Kills the broker of both.
    pub(crate) fn kill_broker(&self) {
        self.broker.kill();
    }

    /// Starts the broker anew and waits until both nodes are ready.
    pub(crate) async fn restart_broker(&self) {
        self.broker.restart();
        for node in [&self.origin, &self.receiver] {
            node.is_ready().await;
        }
    }

    /// Cuts the receiver off and publishes on the other node, until nobody can repair that any more. Gives the moment
    /// from which the receiver can connect again.
    pub(crate) async fn cut_off(&self, publish: impl AsyncFnOnce(&Endpoint)) -> Instant {
        self.proxy.refuse();
        self.receiver.is_unready(Instant::now()).await;
        publish(&self.origin).await;
        sleep(TIME_TO_LIVE).await;
        let back = Instant::now();
        self.proxy.accept();
        self.receiver.is_ready().await;
        back
    }
}

/// Joins a topic and gives the reach that the answer says.
async fn join(client: &mut Client, topic: &str) -> Value {
    let request = json!({"request": "join", "topic": topic});
    client.must(request, "joined").await["reach"].clone()
}

/// The welcome and every answer that joins say whether publishers on all nodes reach the client, and while the broker
/// is dead or stands still they say at once that those on its own node do. When that changes, a client is told once.
pub async fn a_join_says_how_far_it_reaches(program: Program) {
    let pair = Pair::start(program, LANES).await;
    let (near, far, broker) = (&pair.receiver, &pair.origin, &pair.broker);
    let mut client = Client::connect(near, "user=u&org=o").await;
    assert_eq!(client.welcome["reach"], "everywhere");
    assert_eq!(join(&mut client, "before").await, "everywhere");
    for (topic, hurt, heal) in [
        (
            "dead",
            Broker::kill as fn(&Broker),
            Broker::restart as fn(&Broker),
        ),
        ("still", Broker::stop, Broker::thaw),
    ] {
        hurt(broker);
        // While the broker is away for good, an answer that waited for it would not come.
        assert_eq!(join(&mut client, topic).await, "here");
        let session = json!({"request": "create_session", "agent": topic});
        assert_eq!(client.must(session, "session").await["reach"], "here");
        let mut other = Client::connect(near, "").await;
        assert_eq!(other.welcome["reach"], "here");
        near.delivers(&target("topic", topic), "1", 1).await;
        assert_eq!(client.event().await, "1");
        heal(broker);
        let reach = client.reach().await;
        // It was told so by the answer if that came first.
        let reach = match &*reach {
            "here" => client.reach().await,
            _ => reach,
        };
        assert_eq!(reach, "everywhere");
        assert_eq!(other.reach().await, "everywhere");
        // It reaches where it said it does.
        far.is_ready().await;
        far.delivers(&target("topic", topic), "2", 0).await;
        assert_eq!(client.event().await, "2");
        for client in [&mut client, &mut other] {
            client.got_nothing().await;
            client.reaches_as_before();
        }
    }
    let mut late = listener(near, "").await;
    assert_eq!(late.welcome["reach"], "everywhere");
    late.got_nothing().await;
    late.reaches_as_before();
}

/// A node is cut off for longer than can be repaired. Its client that missed events is told how many, when they were
/// published and for which of its targets, before the next event comes; its client that missed none is not told.
pub async fn a_client_that_missed_events_is_told(program: Program) {
    const EVENTS: u64 = 5;
    // By how much two nodes may take the time of one event for that of another.
    const SKEW: Duration = Duration::from_millis(50);
    let pair = Pair::start(program, LANES).await;
    let Pair {
        origin, receiver, ..
    } = &pair;
    let mut client = listener(receiver, "user=u").await;
    let mut elsewhere = Client::connect(receiver, "user=v").await;
    elsewhere.join("elsewhere").await;
    origin.publish(&topic(), r#""before""#).await;
    assert_eq!(client.event().await, r#""before""#);
    let mut published = Vec::new();
    let cut_off = pair.cut_off(async |origin| {
        for n in 0..EVENTS {
            let since = Instant::now();
            origin.publish(&topic(), &n.to_string()).await;
            published.push((since, Instant::now()));
        }
    });
    let back = cut_off.await;
    origin.publish(&topic(), r#""after""#).await;
    let missed = match client.next().await {
        Arrival::Own(missed) => missed,
        other => panic!("it is told first, and not sent {other:?}"),
    };
    assert_eq!(missed["midplane"], "missed", "{missed}");
    assert_eq!(missed["events"], EVENTS, "{missed}");
    assert_eq!(missed["exact"], true, "{missed}");
    assert_eq!(missed["targets"], json!(["topic:t"]), "{missed}");
    // The message was written after the node was back and before now.
    let age = |name: &str| Duration::from_millis(missed[name].as_u64().expect("an age")) + SKEW;
    let (first, last) = (published[0].1, published[EVENTS as usize - 1].0);
    assert!(age("since_ms_ago") >= back - first, "{missed}");
    assert!(age("until_ms_ago") <= last.elapsed() + SKEW * 2, "{missed}");
    assert_eq!(client.event().await, r#""after""#);
    client.got_nothing().await;
    elsewhere.got_nothing().await;
    let health = receiver.get("/healthz", 200).await.json();
    let counts = [&health["missed"], &health["missed_messages"]];
    assert_eq!(counts, [EVENTS, 1], "{health}");
}

/// A node that was cut off gets everything by repair, and where little is kept for that, its clients get what is, behind a
/// report of how many they missed.
pub async fn what_is_kept_for_repair_has_its_limit(program: Program) {
    const EVENTS: u64 = 20;
    // Nothing expires.
    let roomy = "--time-to-live 30s";
    let small = format!("{roomy} {}", flags::SMALL_REPAIR);
    for (flags, whole) in [(roomy, true), (&*small, false)] {
        let pair = Pair::start(program, flags).await;
        let mut client = listener(&pair.receiver, "").await;
        // From an event on that came, a node knows what it missed.
        pair.origin.publish(&topic(), r#""before""#).await;
        assert_eq!(client.event().await, r#""before""#);
        pair.proxy.refuse();
        pair.receiver.is_unready(Instant::now()).await;
        for number in 0..EVENTS {
            pair.origin.publish(&topic(), &number.to_string()).await;
        }
        pair.proxy.accept();
        let mut missed = 0;
        let mut next = 0;
        while next < EVENTS {
            match client.next().await {
                Arrival::Own(own) if own["midplane"] == "missed" => {
                    missed += own["events"].as_u64().expect("a count");
                    next = missed;
                    assert_eq!(own["exact"], true, "{own}");
                }
                Arrival::Own(own) => assert_eq!(own["midplane"], "reach", "{own}"),
                Arrival::Event(event) => {
                    assert_eq!(event, next.to_string(), "{flags}");
                    next += 1;
                }
                other => panic!("{flags}: {other:?}"),
            }
        }
        assert_eq!(missed == 0, whole, "{flags}: {missed} missed");
        assert!(missed < EVENTS, "{flags}: nothing was kept");
    }
}

/// Thousands of topics on many lanes lose events in one outage: that is one line of the log and one incident.
pub async fn one_outage_is_one_log_line(program: Program) {
    const TOPICS: usize = 3_000;
    const LANES: u32 = 512;
    // An incident is over when nothing more is missing for half a heartbeat.
    let flags = format!("--lanes {LANES} --max-targets 4000 --heartbeat 2s");
    let pair = Pair::start(program, &flags).await;
    let receiver = &pair.receiver;
    let topics: Vec<_> = (0..TOPICS).map(|n| format!("t{n}")).collect();
    let map = LaneMap::new(LANES);
    let lane = |topic: &String| {
        let topic = Target::topic(topic).expect("a topic");
        map.lane(&Scope::default(), &topic.into())
    };
    let lanes: HashSet<_> = topics.iter().map(lane).collect();
    let mut client = Client::connect(receiver, "").await;
    for topic in &topics {
        client.join(topic).await;
    }
    let cut_off = pair.cut_off(async |origin| {
        // Several at once: an origin that is not heard for longer is told of as one loss, of all lanes.
        let published = stream::iter(&topics).for_each_concurrent(32, async |topic| {
            origin.publish(&target("topic", topic), "0").await;
        });
        published.await;
    });
    cut_off.await;
    until("something is missed on every lane", async || {
        let missed = receiver.counted("/gaps").await + receiver.counted("/deaf").await;
        (missed >= lanes.len() as u64).then_some(())
    })
    .await;
    let said = || {
        let log = receiver.child.log();
        let lines = log.lines().filter(|line| line.contains("events missed"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    until("the log says so", async || {
        (!said().is_empty()).then_some(())
    })
    .await;
    let lines = said();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for field in [" events=", " exact=", " since=", " until=", " lanes=all"] {
        assert!(lines[0].contains(field), "no {field} in {}", lines[0]);
    }
    for (count, expected) in [("/incidents", 1), ("/notices_dropped", 0)] {
        assert_eq!(receiver.counted(count).await, expected, "{count}");
    }
    match client.next().await {
        Arrival::Own(missed) => assert_eq!(missed["midplane"], "missed", "{missed}"),
        other => panic!("the client is told, and not sent {other:?}"),
    }
}
