//! What is published on one node reaches the clients of all, each once.

use serde_json::json;

use super::nodes::{Nodes, fenced, listener, met, topic};
use super::{Programs, ServerKind};
use crate::fixture::{Endpoint, target};

/// How many events each node publishes.
const EVENTS: u64 = 25;

/// `processes` servers on this kind of broker, with these flags.
pub async fn a_publish_reaches_the_clients_of_every_node(
    programs: Programs,
    kind: ServerKind,
    processes: usize,
    flags: &str,
) {
    let programs = programs.in_turn();
    let (nodes, _broker) = Nodes::start_shared(programs, processes, kind, flags).await;
    each_once(&nodes.endpoints()).await;
}

/// Two servers in one process, on the bus in memory.
pub async fn a_publish_reaches_the_other_node_of_one_process(programs: Programs) {
    let flags = "--listen 127.0.0.1:0 --backplane memory:both";
    let child = programs.both.spawn(&[], flags);
    let endpoints = [Endpoint::of(&child), Endpoint::of(&child)];
    met(&endpoints).await;
    each_once(&endpoints).await;
}

/// Every client is in a topic and has a user, and gets all that is published to either on any node.
async fn each_once(endpoints: &[Endpoint]) {
    let mut clients = Vec::new();
    for endpoint in endpoints {
        for identity in ["user=u", "user=u&org=o"] {
            clients.push(listener(endpoint, identity).await);
        }
    }
    let (topic, user) = (topic(), target("user", "u"));
    let numbered = |node: usize, n: u64| json!({ "node": node, "n": n }).to_string();
    for n in 0..EVENTS {
        for (node, endpoint) in endpoints.iter().enumerate() {
            let to = if n % 5 == 0 { &user } else { &topic };
            let receipt = endpoint.receipt(to, &numbered(node, n)).await;
            assert_eq!(receipt["delivered"], 2, "{receipt}");
            assert_eq!(receipt["relay"], "queued", "{receipt}");
        }
    }
    for client in &mut clients {
        let mut received = Vec::new();
        for _ in 0..EVENTS * endpoints.len() as u64 {
            received.push(client.event().await);
        }
        for node in 0..endpoints.len() {
            // What goes to one target from one node comes in order; between targets there may be lanes.
            for of_user in [true, false] {
                let all = (0..EVENTS).filter(|n| (n % 5 == 0) == of_user);
                let sent: Vec<_> = all.map(|n| numbered(node, n)).collect();
                let came = received.iter().filter(|event| sent.contains(event));
                assert!(came.eq(&sent), "{sent:?} out of {received:?}");
            }
        }
    }
    // Nothing came twice, or it would be here before the fence.
    fenced(endpoints, &mut clients, &topic, "topic").await;
    fenced(endpoints, &mut clients, &user, "user").await;
    // From the first node to one client of the last.
    let last = clients.last_mut().expect("there are clients");
    endpoints[0]
        .delivers(&last.target(), r#""to you""#, 0)
        .await;
    assert_eq!(last.event().await, r#""to you""#);
    fenced(endpoints, &mut clients, &topic, "again").await;
}
