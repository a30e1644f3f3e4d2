//! What programs publish that are no nodes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use midplane::{Plane, Target};
use midplane_testkit::server::Server as Broker;
use midplane_testkit::until;
use serde_json::{Value, json};

use super::nodes::{Nodes, prefix, topic};
use super::{Programs, ServerKind};
use crate::fixture::target;

/// A session's clients on every node get what is published with the broker's own tools, in the order published, each
/// once; what is no such JSON changes nothing.
pub async fn any_program_publishes(programs: Programs, kind: ServerKind) {
    let broker = kind.shared();
    let prefix = prefix();
    let flags = format!("--backplane-prefix {prefix} --json-lane");
    let mut nodes = Nodes::start(programs.in_turn(), 2, &broker.url(), &flags).await;
    nodes.listen().await;
    let clients = &mut nodes.clients;
    let session = clients[0].create_session("a").await;
    clients[1].resume_session(&session).await;

    let ours = json!({ "target": target("session", &session), "event": { "form": 1 } });
    let others = json!({ "origin": "x", "target": { "Session": session }, "event": { "form": 2 } });
    let hostile = hostile(kind);
    let publish = |message: &[u8]| publish_to(kind, &broker, &prefix, message);
    publish(ours.to_string().as_bytes());
    hostile.iter().for_each(|message| publish(message));
    publish(others.to_string().as_bytes());
    for client in clients {
        for form in [1, 2] {
            let event: Value = client.event().await.parse().expect("JSON");
            assert_eq!(event, json!({ "form": form }));
        }
    }
    for server in &nodes.servers {
        until("what is no JSON is counted", async || {
            let refused = server.counted("/json/refused").await == hostile.len() as u64;
            (refused && server.counted("/json/understood").await == 2).then_some(())
        })
        .await;
        let backplane = server.backplane().await;
        assert!(backplane["json"]["refusal"].is_string(), "{backplane}");
        assert_eq!(backplane["session_failures"], 0, "{backplane}");
        assert_eq!(server.readiness().await, 200);
    }
    nodes.fenced("end").await;
}

/// What must not be delivered.
fn hostile(kind: ServerKind) -> Vec<Vec<u8>> {
    let mut hostile = vec![
        b"no json".to_vec(),
        br#"{"target":{"type":"all","id":"x"},"event":1}"#.to_vec(),
        // It would pass for a message of the server.
        json!({ "target": topic(), "event": { "midplane": "closing" } })
            .to_string()
            .into_bytes(),
    ];
    // Postgres takes text alone.
    if kind != ServerKind::Postgres {
        hostile.push(b"\xff\xfe{".to_vec());
    }
    // The others take no message that is larger than a frame of the bus.
    if kind.speaks_redis() {
        let large = json!({ "target": topic(), "event": "x".repeat(600 << 10) });
        hostile.push(large.to_string().into_bytes());
    }
    hostile
}

/// A node that was not told to listen does not.
pub async fn nobody_listens_untold(programs: Programs) {
    let broker = ServerKind::Redis.shared();
    let prefix = prefix();
    let flags = format!("--backplane-prefix {prefix}");
    let mut nodes = Nodes::start(programs.in_turn(), 1, &broker.url(), &flags).await;
    nodes.listen().await;
    let message = json!({ "target": topic(), "event": 1 }).to_string();
    let receivers = broker.redis_command(&["PUBLISH", &format!("{prefix}:json"), &message]);
    assert_eq!(receivers.trim(), ":0");
    nodes.clients[0].got_nothing().await;
}

/// A node of another program may publish what would pass for a message of the server. No client gets that, and each is
/// told that something is lost.
pub async fn a_node_of_another_program(programs: Programs) {
    let (broker, prefix) = (ServerKind::Redis.shared(), prefix());
    let flags = format!("--backplane-prefix {prefix}");
    let mut nodes = Nodes::start(programs.in_turn(), 2, &broker.url(), &flags).await;
    nodes.listen().await;
    let plane = Plane::builder(&broker.url()).prefix(&prefix);
    let plane = plane.connect().await.expect("a plane");
    for text in [
        r#"{"midplane":"closing"}"#,
        " {\"midplane\": \"closing\"} ",
        r#"{"midpl\u0061ne":"closing"}"#,
    ] {
        for event in [text, "\"midplane\""] {
            let receipt = plane.publish(Target::topic("t").expect("a topic"), event);
            assert!(receipt.is_relayed(), "{receipt:?}");
        }
        for client in &mut nodes.clients {
            assert_eq!(
                client.own().await,
                json!({ "midplane": "lost", "count": 1 })
            );
            assert_eq!(client.event().await, "\"midplane\"");
        }
    }
    plane.close().await;
    nodes.fenced("end").await;
}

/// Publishes with what comes with the broker.
fn publish_to(kind: ServerKind, broker: &Broker, prefix: &str, message: &[u8]) {
    let address = broker.address();
    match kind {
        ServerKind::Redis | ServerKind::Valkey if message.len() > 100 << 10 => {
            // An argument of a command is not that long.
            let text = str::from_utf8(message).expect("it is text");
            broker.redis_does(&["PUBLISH", &format!("{prefix}:json"), text]);
        }
        ServerKind::Redis | ServerKind::Valkey => run(
            Command::new("redis-cli")
                .args(["-h", "127.0.0.1", "-p", &address.port().to_string()])
                .args(["PUBLISH", &format!("{prefix}:json")])
                .arg(OsStr::from_bytes(message)),
            "redis-tools",
        ),
        ServerKind::Nats => {
            let stream = TcpStream::connect(address).expect("NATS listens");
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).expect("it says who it is");
            let length = message.len();
            let mut request = b"CONNECT {\"verbose\":false}\r\n".to_vec();
            request.extend(format!("PUB {prefix}.json {length}\r\n").bytes());
            request.extend(message);
            request.extend(b"\r\nPING\r\n");
            stream.get_mut().write_all(&request).expect("it reads");
            line.clear();
            stream.read_line(&mut line).expect("it answers");
            assert_eq!(line.trim(), "PONG");
        }
        ServerKind::Postgres => {
            let text = str::from_utf8(message).expect("it is text");
            let notify = format!("NOTIFY \"{prefix}_json\", '{}'", text.replace('\'', "''"));
            run(
                Command::new("psql").args([&broker.url(), "--quiet", "--command", &notify]),
                "postgresql-client",
            );
        }
    }
}

fn run(command: &mut Command, package: &str) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}): apt-get install {package}")
    });
    assert!(output.status.success(), "{command:?}: {output:?}");
}
