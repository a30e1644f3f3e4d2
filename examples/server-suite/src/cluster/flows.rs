//! A flow that runs on one node is seen from another.

use serde_json::{Value, json};

use super::Programs;
use super::world::{self, Kind, nodes};
use crate::browser::Browser;
use crate::checks::flows::{start, watch};
use crate::checks::page::session;
use crate::client::Client;
use crate::fixture::Server;

/// Two servers on this sort of broker.
async fn pair(programs: Programs, kind: Kind, url: &str) -> [Server; 2] {
    let prefix = world::prefix();
    let flags = ["--backplane-prefix", &prefix];
    let servers = nodes(programs, 2, url, &flags).await;
    match servers.try_into() {
        Ok(pair) => pair,
        Err(_) => panic!("there are two on {kind:?}"),
    }
}

/// Every step of it, in order, each once.
pub async fn a_flow_is_seen_from_another_node(programs: Programs, kind: Kind) {
    let broker = kind.shared();
    let [runs, watches] = pair(programs, kind, &broker.url()).await;
    let mut watcher = Client::connect(&watches, "user=ada").await;
    let session = watcher.create_session("agent").await;
    let wanted = json!({"session": session, "executions": 40});
    let (status, answer) = start(&runs, &wanted).await;
    assert_eq!(status, 202, "{answer}");
    let flow = answer["flow"].as_str().expect("a name");
    watch(&mut watcher, flow, 40).await;
}

/// The page of one node shows, live, a flow that was started on the other.
pub async fn the_page_of_another_node_shows_a_flow(programs: Programs) {
    let broker = Kind::Redis.shared();
    let [runs, watches] = pair(programs, Kind::Redis, &broker.url()).await;
    let browser = Browser::start().await;
    let tab = browser.open(&watches.url()).await;
    tab.says("status", "connected").await;
    tab.click("create-session").await;
    let target: Value = session(&tab).await;
    let wanted = json!({"session": target["id"], "executions": 30});
    let (status, answer) = start(&runs, &wanted).await;
    assert_eq!(status, 202, "{answer}");
    tab.shows("flow-text", "30 of 30 finished").await;
    let ended = "return document.querySelectorAll('#flow-steps .success, #flow-steps .failure, #flow-steps .skipped').length";
    assert_eq!(tab.script(ended).await, 30);
    browser.close().await;
}
