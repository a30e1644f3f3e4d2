//! Servers that a mistake puts on two brokers which know nothing of each other: the loss is said, or none of a side that is too
//! small is ready.

use midplane_testkit::proxy::Proxy;
use midplane_testkit::server::Server as Broker;
use midplane_testkit::until;
use serde_json::Value;

use super::nodes::{met, prefix};
use super::{Programs, ServerKind};
use crate::fixture::Server;
use crate::http::Request;

/// What puts servers on two brokers.
#[derive(Debug, Clone, Copy)]
pub enum Mistake {
    /// Two brokers of a kind that are not joined: two Redis or NATS servers, two primaries of Postgres.
    TwoBrokers(ServerKind),
    /// Two Sentinels, one of which still names an old master.
    StaleSentinel,
}

/// Two URLs that should lead to one broker.
struct Split {
    urls: [String; 2],
    brokers: [Broker; 2],
    _sentinels: Vec<Broker>,
}

impl Mistake {
    fn make(self) -> Split {
        let start = || match self {
            Self::TwoBrokers(ServerKind::Nats) => Broker::nats_with(&[]),
            Self::TwoBrokers(ServerKind::Postgres) => Broker::postgres_with(&[]),
            Self::TwoBrokers(ServerKind::Valkey) => Broker::valkey(),
            Self::TwoBrokers(ServerKind::Redis) | Self::StaleSentinel => Broker::redis_with(&[]),
        };
        let brokers = [start(), start()];
        let sentinels = match self {
            Self::TwoBrokers(_) => Vec::new(),
            Self::StaleSentinel => {
                let masters = brokers.iter();
                masters
                    .map(|master| Broker::redis_sentinel("chat", master))
                    .collect()
            }
        };
        let urls = match &sentinels[..] {
            [new, stale] => [new.url(), stale.url()],
            _ => brokers.each_ref().map(Broker::url),
        };
        Split {
            urls,
            brokers,
            _sentinels: sentinels,
        }
    }
}

/// Starts the server of this number.
fn start(programs: Programs, number: usize, url: &str, flags: &str) -> Server {
    let program = programs.in_turn()[number % 2];
    program.start(&format!(
        "--backplane {url} --node-name web-{number} {flags}"
    ))
}

impl Split {
    /// Starts two servers on one side and a third on the other.
    fn three(&self, programs: Programs, flags: &str) -> Vec<Server> {
        let sides = [0, 0, 1].into_iter().enumerate();
        let started = sides.map(|(number, side)| start(programs, number, &self.urls[side], flags));
        started.collect()
    }

    /// Each was told to expect three: none is ready, and each says why. A fourth on the first side makes three there.
    async fn expected(&self, programs: Programs) {
        let flags = "--heartbeat 1s --expected-members 3";
        let mut servers = self.three(programs, flags);
        let request = Request::new("GET", "/readyz");
        let mut brokers = Vec::new();
        for (server, heard) in servers.iter().zip([2, 2, 1]) {
            let reason = format!("{heard} of 3 expected members are heard");
            let answer = until(&reason, async || {
                let answer = request.send(server.address).await;
                assert_eq!(answer.status, 503);
                let answer = answer.json();
                (answer["reasons"][0] == *reason).then_some(answer)
            });
            brokers.push(answer.await["broker"].clone());
        }
        are_of_two_sides(&brokers);
        servers.push(start(programs, 3, &self.urls[0], flags));
        for number in [0, 1, 3] {
            servers[number].is_ready().await;
        }
        let nodes = servers[0].get("/nodes", 200).await.json();
        let others = nodes["others"].as_array().expect("a list of nodes");
        let mut names: Vec<_> = others
            .iter()
            .map(|other| other["name"].to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["\"web-1\"", "\"web-3\""]);
        assert_eq!(servers[2].readiness().await, 503);
    }

    /// None was told what to expect: all are ready, and the health of each names its broker.
    async fn unexpected(&self, programs: Programs) {
        let flags = format!("--heartbeat 1s --backplane-prefix {}", prefix());
        let servers = self.three(programs, &flags);
        let endpoints: Vec<_> = servers.iter().map(|server| server.endpoint).collect();
        met(&endpoints[..2]).await;
        met(&endpoints[2..]).await;
        let mut brokers = Vec::new();
        for endpoint in &endpoints {
            brokers.push(endpoint.backplane().await["broker"].clone());
        }
        are_of_two_sides(&brokers);
        let nodes = endpoints[0].get("/nodes", 200).await.json();
        assert_eq!(nodes["broker"], brokers[0], "{nodes}");
        assert_eq!(nodes["others"][0]["broker"], brokers[0], "{nodes}");
    }
}

/// The brokers of three servers, of which the third is on another side.
fn are_of_two_sides(brokers: &[Value]) {
    assert!(brokers.iter().all(Value::is_string), "{brokers:?}");
    assert!(brokers[0] == brokers[1], "{brokers:?}");
    assert!(brokers[0] != brokers[2], "{brokers:?}");
}

/// Two nodes are on one broker and a third is on another from the start, so that they never meet.
pub async fn two_brokers_by_mistake(programs: Programs, mistake: Mistake) {
    let split = mistake.make();
    split.expected(programs).await;
    split.unexpected(programs).await;
}

/// Two nodes met, and one is led to another broker, as by a failover that it alone follows. Both go on, for each has its
/// clients, and each says whom it lost and where that was.
pub async fn a_node_that_is_led_to_another_broker(programs: Programs, kind: ServerKind) {
    let Split { urls, brokers, .. } = Mistake::TwoBrokers(kind).make();
    let [first, second] = brokers;
    let proxy = Proxy::start(first.address());
    let flags = "--heartbeat 500ms";
    let servers = [
        start(programs, 0, &urls[0], flags),
        start(programs, 1, &first.url_at(proxy.address()), flags),
    ];
    met(&servers.each_ref().map(|server| server.endpoint)).await;
    let broker = async |server: &Server| server.backplane().await["broker"].clone();
    let before = broker(&servers[0]).await;
    let before = before.as_str().expect("an identity");
    proxy.lead_to(second.address());
    let request = Request::new("GET", "/readyz");
    for (server, other) in servers.iter().zip([1, 0]) {
        let reason = format!("web-{other} is silent and said no goodbye, its broker was {before}");
        until(&reason, async || {
            let answer = request.send(server.address).await.json();
            let reasons = answer["reasons"].as_array();
            let said = |reasons: &Vec<Value>| reasons.iter().any(|said| *said == *reason);
            reasons.is_some_and(said).then_some(())
        })
        .await;
    }
    assert_eq!(broker(&servers[0]).await, before);
    assert_ne!(broker(&servers[1]).await, before);
}
