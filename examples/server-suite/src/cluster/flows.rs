//! A flow that runs on one node is seen from another.

use super::nodes::Nodes;
use super::{Programs, ServerKind};
use crate::browser::Browser;
use crate::checks::flows::{shown, started, watch};
use crate::checks::page::session;
use crate::client::Client;

/// Every step of a flow, in order, each once.
pub async fn a_flow_is_seen_from_another_node(programs: Programs, kind: ServerKind) {
    let (nodes, _broker) = Nodes::start_shared(programs.in_turn(), 2, kind, "").await;
    let [runs, watches] = &nodes.servers[..] else {
        panic!("there are two on {kind:?}");
    };
    let mut watcher = Client::connect(watches, "user=ada").await;
    let session = watcher.create_session("agent").await;
    let flow = started(runs, &session.into(), 40).await;
    watch(&mut watcher, &flow, 40).await;
}

/// The page of one node shows, live, a flow that was started on the other.
pub async fn the_page_of_another_node_shows_a_flow(programs: Programs) {
    let (nodes, _broker) = Nodes::start_shared(programs.in_turn(), 2, ServerKind::Redis, "").await;
    let browser = Browser::start().await;
    let tab = browser.open_connected(&nodes.servers[1]).await;
    tab.click("create-session").await;
    let session = session(&tab).await;
    started(&nodes.servers[0], &session["id"], 30).await;
    shown(&tab, 30).await;
    browser.close().await;
}
