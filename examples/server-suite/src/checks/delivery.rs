//! Who gets an event, in which bytes, and in which order.

use std::process::{Command, Stdio};

use midplane_testkit::PATIENCE;
use serde_json::{Value, json};

use crate::client::{Arrival, Client};
use crate::fixture::{Program, Server, publication, target};
use crate::flood;

/// Five clients whose identities overlap in every way that matters.
struct Cast {
    clients: Vec<Client>,
    session: String,
}

impl Cast {
    async fn assemble(server: &Server) -> Self {
        let mut clients = Vec::new();
        for identity in [
            "user=u1&org=o1",
            "user=u1&org=o2",
            "user=u2&org=o1",
            // The same texts in the other roles: ids of different kinds must never meet.
            "user=o1&org=u1",
            "",
        ] {
            clients.push(Client::connect(server, identity).await);
        }
        let session = clients[0].create_session("a1").await;
        clients[2].create_session("a1").await;
        clients[3].create_session("t1").await;
        clients[0].join("t1").await;
        clients[1].join("t1").await;
        clients[1].join("t2").await;
        clients[3].join("a1").await;
        clients[3].join(&session).await;
        clients[4].join("u1").await;
        clients[4].join("o1").await;
        Self { clients, session }
    }

    /// Targets of every kind, each with the clients that are in it.
    fn targets(&self) -> [(Value, &'static [usize]); 13] {
        let connection = |client: usize| &*self.clients[client].connection;
        let targets: [(&str, &str, &[usize]); 13] = [
            ("session", &self.session, &[0]),
            ("user", "u1", &[0, 1]),
            ("user", "u2", &[2]),
            ("org", "o1", &[0, 2]),
            ("org", "o2", &[1]),
            ("agent", "a1", &[0, 2]),
            ("topic", "t1", &[0, 1]),
            ("topic", "t2", &[1]),
            ("connection", connection(1), &[1]),
            ("connection", connection(4), &[4]),
            ("user", "nobody", &[]),
            ("topic", "T1", &[]),
            ("connection", "u1", &[]),
        ];
        targets.map(|(kind, id, members)| (target(kind, id), members))
    }

    /// Checks that every client got its events, each once and in order, and nothing else.
    async fn got(&mut self, expected: &[Vec<String>]) {
        for (client, expected) in self.clients.iter_mut().zip(expected) {
            client.got(expected).await;
        }
    }
}

/// An event posted with `curl` to a session, a user, an org, an agent, a topic or a connection
/// reaches exactly the clients that are in it, each once, and the answer counts them.
pub async fn curl_reaches_exactly_the_addressed_clients(program: Program) {
    let server = program.start("");
    let mut cast = Cast::assemble(&server).await;
    let mut expected = vec![Vec::new(); cast.clients.len()];
    for (n, (target, members)) in cast.targets().into_iter().enumerate() {
        let event = format!(r#"{{ "n":{n},"for" : {target} }}"#);
        let answer = curl(&server, &publication(&target, &event));
        assert_eq!(answer["delivered"], members.len(), "{target}: {answer}");
        for member in members {
            expected[*member].push(event.clone());
        }
    }
    cast.got(&expected).await;
}

fn curl(server: &Server, body: &str) -> Value {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body"])
        .args(["--noproxy", "*"])
        .args(["--max-time", &PATIENCE.as_secs().to_string()])
        .args(["--json", body, &format!("{}/publish", server.url())])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("curl does not start ({error}): install curl"));
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("the answer is JSON")
}

/// The bytes of an event are those that were published, for every kind of JSON.
pub async fn events_arrive_byte_for_byte(program: Program) {
    let (server, [mut client]) = program.start_with("", [""]).await;
    client.join("t").await;
    let long = format!("\"{}\"", "é~".repeat(20 * 1024));
    assert_eq!(long.len(), 60 * 1024 + 2);
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let events = [
        "{}",
        "null",
        "0",
        "-0.0",
        "\"\"",
        "[ ]",
        "[\n\t1 ]",
        "18446744073709551616",
        "{ \"b\" :1 ,\t\"a\"\r\n:\t[ 1 ,2 ] , \"b\": 2 }",
        r#"{"z":0,"a":0,"\u0061":"\ud83d\ude00 \/ / \u00e9 é 😀 \u0000"}"#,
        "[123456789012345678901234567890, 1e400, 1E-7, 1.10, 100000000000000000000.0]",
        "\"\u{2028}\u{feff}\u{202e}\"",
        r#""\ud800""#,
        r#"{ "b" : 1.0,  "a":1e3, "a":"\u00e9\/é" }"#,
        &long,
        &deep,
    ];
    for event in events {
        server.delivers(&target("topic", "t"), event, 1).await;
    }
    client.got(&events).await;
    // Through a client as well. White space around the value is not part of the event.
    let mut publisher = Client::connect(&server, "").await;
    publisher.join("t").await;
    for event in events {
        let request = r#" { "event" : EVENT , "request":"publish","exclude_self":true,"target":{"id":"t","type":"topic"}}"#;
        publisher.send(request.replace("EVENT", event)).await;
        assert_eq!(publisher.own().await["midplane"], "published", "{event}");
    }
    client.got(&events).await;
    publisher.got_nothing().await;
}

/// Ids are text of any kind: they need no escaping and none spills into another.
pub async fn ids_are_any_text(program: Program) {
    let server = program.start("");
    let long = "x".repeat(255);
    let ids = [
        "*", "a.b", "a:b", "a/b", "a b", "{}", "é😀", "\0", "\"", "\\", "%2F", ">", &long,
    ];
    let mut clients = Vec::new();
    for id in ids {
        let mut client = Client::connect(&server, "").await;
        client.join(id).await;
        clients.push(client);
    }
    for id in ids {
        let event = json!({ "for": id }).to_string();
        server.delivers(&target("topic", id), &event, 1).await;
    }
    for (client, id) in clients.iter_mut().zip(ids) {
        client.got(&[json!({ "for": id }).to_string()]).await;
    }
}

/// What a client publishes reaches itself too, unless it asks to be left out.
pub async fn a_publisher_can_be_excluded(program: Program) {
    let (_server, [mut publisher, mut other, mut outsider]) =
        program.start_with("", ["user=u", "user=u", "user=v"]).await;
    publisher.join("t").await;
    other.join("t").await;
    for (n, target) in [target("topic", "t"), target("user", "u")]
        .iter()
        .enumerate()
    {
        let all = json!({"all": n});
        let rest = json!({"rest": n});
        publisher.publishes(target, &rest, true, 1).await;
        publisher.publishes(target, &all, false, 2).await;
        publisher.got(&[all.to_string()]).await;
        other.got(&[rest.to_string(), all.to_string()]).await;
    }
    let own = publisher.target();
    publisher.publishes(&own, &json!(1), true, 0).await;
    publisher.publishes(&own, &json!(2), false, 1).await;
    publisher.got(&["2"]).await;
    other.got_nothing().await;
    outsider.got_nothing().await;
}

/// Events of one publisher reach every client in the order published, also while others publish.
pub async fn events_arrive_in_order(program: Program) {
    const EVENTS: u64 = 1_000;
    let server = program.start("");
    let topic = target("topic", "t");
    let mut readers = Vec::new();
    let mut publishers = Vec::new();
    for _ in 0..2 {
        let mut reader = Client::connect(&server, "").await;
        reader.join("t").await;
        readers.push(reader);
        let mut publisher = Client::connect(&server, "").await;
        publisher.join("t").await;
        publishers.push(publisher);
    }
    // One publisher's numbers are even, the other's odd.
    for window in 0..EVENTS / flood::WINDOW {
        for (publisher, which) in publishers.iter_mut().zip(0..) {
            for n in 0..flood::WINDOW {
                let event = flood::numbered((window * flood::WINDOW + n) * 2 + which, 0);
                let request = json!({"request": "publish", "target": topic, "event": event});
                publisher.send(request.to_string()).await;
            }
        }
        let mut numbers = Vec::new();
        for client in readers.iter_mut().chain(&mut publishers) {
            let mut seen = [Vec::new(), Vec::new()];
            let mut events = 0;
            while events < 2 * flood::WINDOW {
                match client.next().await {
                    Arrival::Event(event) => {
                        let n = flood::number(&event).expect("a number");
                        seen[usize::from(n % 2 == 1)].push(n / 2);
                        events += 1;
                    }
                    Arrival::Own(own) => assert_eq!(own["midplane"], "published", "{own}"),
                    end => panic!("{end:?}"),
                }
            }
            numbers.push(seen);
        }
        let expected: Vec<u64> = (window * flood::WINDOW..(window + 1) * flood::WINDOW).collect();
        for seen in numbers {
            assert_eq!(seen, [expected.clone(), expected.clone()]);
        }
    }
}
