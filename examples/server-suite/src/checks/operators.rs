//! What operators have: the nodes, counts and the end of connections, metrics, and details that nobody else is told.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

use midplane_testkit::child::Signal;
use midplane_testkit::server::Server as Broker;
use midplane_testkit::until;
use serde_json::{Value, json};

use crate::checks::missed::Pair;
use crate::client::{Arrival, Client};
use crate::fixture::{Endpoint, Program, target};
use crate::http::{Answer, Request};

/// The paths of operators.
fn paths() -> [Request; 4] {
    let body = json!({"target": {"type": "user", "id": "u"}}).to_string();
    [
        Request::new("GET", "/nodes"),
        Request::new("GET", "/count?type=user&id=u"),
        Request::new("GET", "/metrics"),
        Request::new("POST", "/disconnect").body(body),
    ]
}

async fn count(server: &Endpoint, target: &Value, within: u64) -> Value {
    let word = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
    let path = format!(
        "/count?type={}&id={}&within={within}",
        word("type"),
        word("id")
    );
    server.get(&path, 200).await.json()
}

/// Disconnects the target and gives the answer.
async fn disconnect(server: &Endpoint, target: &Value) -> Value {
    let body = json!({ "target": target }).to_string();
    let request = Request::new("POST", "/disconnect").body(body);
    request.answered(server, 200).await.json()
}

/// Has the other node stand still, which an operator is told once it does.
async fn stands_still(pair: &Pair, name: &str) {
    pair.origin.signal(Signal::STOP);
    until("the node that stands still is named", async || {
        let counted = count(&pair.receiver, &target("org", "o"), 100).await;
        assert_eq!(
            counted["complete"],
            counted["silent"] == json!([]),
            "{counted}"
        );
        (counted["silent"] == json!([name])).then_some(())
    })
    .await;
}

/// An operator of one node counts and disconnects the connections of all, and is told which node did not answer. A client
/// that is disconnected is closed with a code of its own.
pub async fn an_operator_reaches_every_node(program: Program) {
    let pair = Pair::start(program, "").await;
    let (near, far) = (&pair.receiver, &pair.origin);
    let mut here = Client::connect(near, "user=u&org=o").await;
    let mut there = Client::connect(far, "user=v&org=o").await;
    let (org, far_name) = (target("org", "o"), far.backplane().await["node"].clone());
    let name = far_name.as_str().expect("a node has a name");
    let counted = count(near, &org, 20_000).await;
    let expected = json!({
        "connections": 2, "here": 1, "others": {name: 1}, "silent": [], "complete": true
    });
    assert_eq!(counted, expected);
    let nodes = near.get("/nodes", 200).await.json();
    assert_eq!(nodes["state"], "live", "{nodes}");
    assert_eq!(nodes["bus"], "redis", "{nodes}");
    assert_eq!(nodes["others"][0]["node"], far_name, "{nodes}");
    assert_eq!(nodes["others"][0]["state"], "heard", "{nodes}");
    let answer = disconnect(near, &target("user", "v")).await;
    assert_eq!(answer["connections"], 1, "{answer}");
    assert_eq!(there.next().await, Arrival::Close(4001));
    assert_eq!(there.next().await, Arrival::End);
    stands_still(&pair, name).await;
    far.signal(Signal::CONT);
    here.got_nothing().await;
}

/// A publisher that wants to know waits until every node has said how many connections took the event, or learns which node
/// did not; without that, what is told is of the node alone.
pub async fn a_publication_is_confirmed_by_every_node(program: Program) {
    let pair = Pair::start(program, "").await;
    let (near, far) = (&pair.receiver, &pair.origin);
    let mut client = Client::connect(far, "org=o").await;
    let org = target("org", "o");
    let publish = async |confirm: &str, event: u64| {
        let body = json!({"target": org, "event": event}).to_string();
        let request = Request::new("POST", &format!("/publish{confirm}")).body(body);
        request.answered(near, 200).await.json()
    };
    let receipt = publish("", 1).await;
    assert_eq!(receipt["delivered"], 0, "{receipt}");
    assert_eq!(receipt["relay"], "queued", "{receipt}");
    assert_eq!(receipt.get("confirmed"), None, "{receipt}");
    let receipt = publish("?confirm=20000", 2).await;
    assert_eq!(receipt["delivered"], 0, "{receipt}");
    assert_eq!(receipt["confirmed"]["connections"], 1, "{receipt}");
    assert_eq!(receipt["confirmed"]["complete"], true, "{receipt}");
    client.got(&["1", "2"]).await;
    let name = far.backplane().await["node"].clone();
    stands_still(&pair, name.as_str().expect("a name")).await;
    let receipt = publish("?confirm=100", 3).await;
    assert_eq!(receipt["confirmed"]["silent"], json!([name]), "{receipt}");
    assert_eq!(receipt["confirmed"]["complete"], false, "{receipt}");
    far.signal(Signal::CONT);
    for query in [
        "?confirm=0",
        "?confirm=x",
        "?confirm=30001",
        "?confirm",
        "?sure=1",
    ] {
        let body = json!({"target": org, "event": 0}).to_string();
        let request = Request::new("POST", &format!("/publish{query}")).body(body);
        request.answered(near, 400).await;
    }
    let keyed = json!({"target": org, "event": 0, "idempotency_key": "k"}).to_string();
    let keyed = Request::new("POST", "/publish?confirm=100").body(keyed);
    keyed.answered(near, 400).await;
    assert_eq!(client.event().await, "3");
    client.got_nothing().await;
}

/// Who asks through a proxy is no operator: the paths of health tell it the status alone, and those of operators nothing.
/// On this machine, asked directly, they tell all.
pub async fn details_are_for_operators(program: Program) {
    let told = |answer: &Answer| answer.json().as_object().map_or(0, serde_json::Map::len);
    let server = program.start("");
    for request in paths() {
        request.clone().answered(&server, 200).await;
        let forwarded = request.header("x-forwarded-for", "192.0.2.1");
        forwarded.answered(&server, 403).await;
    }
    assert!(told(&server.get("/healthz", 200).await) > 5);
    let health = Request::new("GET", "/healthz").header("forwarded", "for=192.0.2.1");
    assert_eq!(told(&health.answered(&server, 200).await), 1);
    let server = program.start("--public-host live.example");
    for host in ["live.example".to_owned(), server.address.to_string()] {
        for request in paths() {
            request.header("host", &*host).answered(&server, 403).await;
        }
        for path in ["/healthz", "/readyz"] {
            let request = Request::new("GET", path).header("host", &*host);
            assert_eq!(told(&request.answered(&server, 200).await), 1);
        }
    }
    // Why a server is not ready is for operators too.
    let broker = Broker::redis_with(&[]);
    let flags = format!("--backplane {} --heartbeat 500ms", broker.url());
    let server = program.start(&flags);
    server.is_ready().await;
    broker.kill();
    server.is_unready(Instant::now()).await;
    assert!(told(&server.get("/readyz", 503).await) > 1);
    let readiness = Request::new("GET", "/readyz").header("forwarded", "for=192.0.2.1");
    assert_eq!(told(&readiness.answered(&server, 503).await), 1);
}

/// Who has the token is an operator under any name, who has another is none, and the server says the token to nobody.
pub async fn a_token_makes_an_operator(program: Program) {
    const TOKEN: &str = "correct-horse-battery-staple";
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{TOKEN}").expect("the token is written");
    let path = file.path().display();
    let flags = format!("--log trace --public-host live.example --operator-token-file {path}");
    let server = program.start(&flags);
    let mut client = Client::connect(&server, "user=u").await;
    let wrong = format!("{TOKEN}r");
    for request in paths() {
        for given in [
            None,
            Some(""),
            Some("Bearer"),
            Some(&*format!("Bearer {wrong}")),
        ] {
            let request = match given {
                Some(given) => request.clone().header("authorization", given),
                None => request.clone(),
            };
            let answer = request.answered(&server, 401).await;
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    client.got_nothing().await;
    for request in paths() {
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        request
            .header("host", "10.1.2.3:8080")
            .answered(&server, 200)
            .await;
    }
    assert_eq!(client.next().await, Arrival::Close(4001));
    let health = Request::new("GET", "/healthz").header("authorization", format!("Bearer {TOKEN}"));
    assert!(
        health
            .answered(&server, 200)
            .await
            .json()
            .get("connections")
            .is_some()
    );
    // A thread of its own writes the log.
    until("the log says what the operator did", async || {
        let log = server.child.log();
        log.contains("connections disconnected").then_some(())
    })
    .await;
    let log = server.child.log();
    assert!(!log.contains(TOKEN), "{log}");
    let end = program
        .end(&[], &["--operator-token-file", "/nonexistent/token"])
        .await;
    assert!(
        !end.status.success() && end.stderr.contains("/nonexistent/token"),
        "{end:?}"
    );
    let mut short = tempfile::NamedTempFile::new().expect("a file");
    write!(short, "hunter2").expect("a text is written");
    let path = short.path().display().to_string();
    let end = program.end(&[], &["--operator-token-file", &path]).await;
    assert!(
        !end.status.success() && end.stderr.contains("16 to 1024"),
        "{end:?}"
    );
    assert!(!end.stderr.contains("hunter2"), "{end:?}");
}

/// The names of the metrics that a server gives, each of which has its help and its type.
pub(crate) async fn metric_names(server: &Endpoint) -> BTreeSet<String> {
    let answer = server.get("/metrics", 200).await;
    assert!(answer.is("text/plain; version=0.0.4"), "{answer:?}");
    let mut names = BTreeSet::new();
    for line in answer.text().lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            names.insert(head.split(' ').next().unwrap_or_default().to_owned());
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(value.parse::<u64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap_or_default();
            assert!(names.contains(name), "{line} has no type");
        }
    }
    names
}

/// What Prometheus reads says what happened.
pub async fn metrics_count_what_happens(program: Program) {
    let server = program.start("");
    let mut client = Client::connect(&server, "user=u").await;
    for event in ["1", "2"] {
        server.delivers(&target("user", "u"), event, 1).await;
    }
    client.got(&["1", "2"]).await;
    assert!(metric_names(&server).await.len() > 20);
    let text = server.get("/metrics", 200).await;
    for line in [
        "midplane_state{state=\"live\"} 1",
        "midplane_connections 1",
        "midplane_server_connections 1",
        "midplane_server_published_total 3",
        "midplane_server_delivered_total 3",
        "midplane_server_log_lines_dropped_total 0",
    ] {
        assert!(
            text.text().lines().any(|other| other == line),
            "{line}: {}",
            text.text()
        );
    }
}
