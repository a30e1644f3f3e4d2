//! What is published on one node reaches the clients of all, each once.

use serde_json::{Value, json};

use super::Programs;
use super::world::{self, Kind, fenced, listener, met, nodes, topic};
use crate::client::Client;
use crate::fixture::{Program, Running, Site, target};

/// How many events each node publishes.
const EVENTS: u64 = 25;

/// So many processes on this sort of broker, with these flags.
pub async fn a_publish_reaches_the_clients_of_every_node(
    programs: Programs,
    kind: Kind,
    processes: usize,
    flags: &[&str],
) {
    let broker = kind.shared();
    let prefix = world::prefix();
    let flags = [&["--backplane-prefix", &prefix], flags].concat();
    let servers = nodes(programs, processes, &broker.url(), &flags).await;
    let sites: Vec<&Site> = servers.iter().map(|server| &server.site).collect();
    each_once(&sites).await;
}

/// Two servers in one process, on the bus in memory.
pub async fn a_publish_reaches_the_other_node_of_one_process(programs: Programs) {
    let flags = ["--listen", "127.0.0.1:0", "--backplane", "memory:both"];
    let child = Running::of(Program::new(programs.both), &flags);
    let sites = [child.site(), child.site()];
    let sites: Vec<&Site> = sites.iter().collect();
    met(&sites).await;
    each_once(&sites).await;
}

/// Every client is in a topic and has a user, and gets all that is published to either on any node.
async fn each_once(sites: &[&Site]) {
    let mut clients = Vec::new();
    for site in sites {
        for identity in ["user=u", "user=u&org=o"] {
            clients.push(listener(site, identity).await);
        }
    }
    let (topic, user) = (topic(), target("user", "u"));
    let numbered = |node: usize, n: u64| json!({ "node": node, "n": n }).to_string();
    for n in 0..EVENTS {
        for (node, site) in sites.iter().enumerate() {
            let to = if n % 5 == 0 { &user } else { &topic };
            let receipt = site.receipt(to, &numbered(node, n)).await;
            assert_eq!(receipt["delivered"], 2, "{receipt}");
            assert_eq!(receipt["relay"], "queued", "{receipt}");
        }
    }
    for client in &mut clients {
        let mut heard = Vec::new();
        for _ in 0..EVENTS * sites.len() as u64 {
            heard.push(client.event().await);
        }
        for node in 0..sites.len() {
            // What goes to one target from one node comes in order; between targets there may be lanes.
            for of_user in [true, false] {
                let all = (0..EVENTS).filter(|n| (n % 5 == 0) == of_user);
                let sent: Vec<_> = all.map(|n| numbered(node, n)).collect();
                let came: Vec<_> = heard.iter().filter(|event| sent.contains(event)).collect();
                assert_eq!(came, sent.iter().collect::<Vec<_>>());
            }
        }
    }
    // Nothing came twice, or it would be here before the fence.
    fenced(sites, &mut clients, &topic, "topic").await;
    fenced(sites, &mut clients, &user, "user").await;
    to_one(sites, &mut clients).await;
    fenced(sites, &mut clients, &topic, "again").await;
}

/// From the first node to one client of the last.
async fn to_one(sites: &[&Site], clients: &mut [Client]) {
    let Some(last) = clients.last_mut() else {
        panic!("there are clients");
    };
    let event = Value::from("to you").to_string();
    let receipt = sites[0].receipt(&last.target(), &event).await;
    assert_eq!(receipt["delivered"], 0, "{receipt}");
    assert_eq!(last.event().await, event);
}
