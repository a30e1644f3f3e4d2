//! Flows: what finishes in the background is seen by the session that waits for it.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::browser::{Browser, Tab};
use crate::client::Client;
use crate::fixture::{Program, Server};
use crate::http::Request;

/// Starts a flow for a session, and gives what was answered.
pub(crate) async fn start(server: &Server, body: &Value) -> (u16, Value) {
    let request = Request::new("POST", "/flows").body(body.to_string());
    let answer = request.send(server.address).await;
    (answer.status, answer.json())
}

/// Starts a flow of this size for a session, and gives its name.
pub(crate) async fn started(server: &Server, session: &Value, executions: usize) -> String {
    let body = json!({"session": session, "executions": executions});
    let (status, answer) = start(server, &body).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["executions"], executions);
    answer["flow"].as_str().expect("a name").to_owned()
}

/// Waits until the page shows a flow of this size that has ended.
pub(crate) async fn shown(tab: &Tab<'_>, executions: usize) {
    let text = format!("{executions} of {executions} finished");
    tab.shows("flow-text", &text).await;
    let states = ["success", "failure", "skipped"].map(|state| format!("#flow-steps .{state}"));
    let selector = states.join(", ");
    let script = format!("return document.querySelectorAll('{selector}').length");
    assert_eq!(tab.script(&script).await, executions);
}

/// Follows a flow to its end: every execution starts once and then ends once, and the counts rise to the last.
pub(crate) async fn watch(client: &mut Client, flow: &str, executions: usize) {
    let mut states: HashMap<u64, String> = HashMap::new();
    let mut finished = 0;
    while finished < executions as u64 {
        let step: Value = serde_json::from_str(&client.event().await).expect("an event is JSON");
        assert_eq!(step["flow"], flow);
        assert_eq!(step["of"], executions);
        let execution = step["execution"].as_u64().expect("a number");
        let state = step["state"].as_str().expect("a state").to_owned();
        let before = states.insert(execution, state.clone());
        match &*state {
            "started" => assert_eq!(before, None),
            "success" | "failure" | "skipped" => {
                assert_eq!(before.as_deref(), Some("started"));
                finished += 1;
            }
            other => panic!("{other} is no state"),
        }
        assert_eq!(step["finished"], finished, "{step}");
    }
    assert_eq!(states.len(), executions);
}

/// A flow is seen from its first step to its last by its session, and by nobody else.
pub async fn a_flow_is_seen_by_its_session(program: Program) {
    let (server, [mut watcher, mut other]) = program.start_with("", ["user=ada", "user=bob"]).await;
    let session = watcher.create_session("agent").await;
    other.create_session("agent").await;
    let flow = started(&server, &session.into(), 40).await;
    watch(&mut watcher, &flow, 40).await;
    other.got_nothing().await;
}

/// What is no flow is refused with what is wrong, and so is one too many.
pub async fn a_bad_flow_is_refused(program: Program) {
    let server = program.start("");
    for (body, word) in [
        (json!({}), "session"),
        (json!({"session": ""}), "empty"),
        (json!({"session": "s", "executions": 0}), "1000"),
        (json!({"session": "s", "executions": 1001}), "1000"),
        (json!({"session": "s", "executions": -1}), "-1"),
        (json!({"session": "s", "size": 1}), "size"),
    ] {
        let (status, answer) = start(&server, &body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.to_string().contains(word), "{body}: {answer}");
    }
    let body = json!({"session": "s", "executions": 1000});
    for _ in 0..16 {
        assert_eq!(start(&server, &body).await.0, 202);
    }
    let (status, answer) = start(&server, &body).await;
    assert_eq!((status, &answer["error"]), (503, &json!("busy")));
}

/// The page starts a flow and shows it running to its end.
pub async fn the_page_watches_a_flow(program: Program) {
    let server = program.start("");
    let browser = Browser::start().await;
    let tab = browser.open_connected(&server).await;
    tab.click("run-flow").await;
    shown(&tab, 24).await;
    browser.close().await;
}
