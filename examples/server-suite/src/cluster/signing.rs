//! Servers that sign what they send each other, and one that has no key.

use std::fs;

use serde_json::json;

use super::Programs;
use super::nodes::{HEARTBEAT, Nodes, listener, prefix, topic};
use crate::cluster::ServerKind;

/// Two servers with keys hear each other, while a third without one publishes, and writes to the channel of programs: they
/// get nothing of it, know nothing of it, and stay ready.
pub async fn a_server_without_a_key_changes_nothing(programs: Programs) {
    let broker = ServerKind::Redis.shared();
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    let key = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    fs::write(&keys, format!("# of this check\n7: {key}\n")).expect("a file");
    let prefix = prefix();
    let bare = format!("--backplane-prefix {prefix}");
    let signed = format!(
        "{bare} --json-lane --bus-key-file {} --bus-signing require",
        keys.display()
    );
    let mut nodes = Nodes::start(programs.in_turn(), 2, &broker.url(), &signed).await;
    nodes.listen().await;
    nodes.fenced("before").await;

    let url = broker.url();
    let beats = HEARTBEAT.as_millis();
    let flags = format!("--backplane {url} --heartbeat {beats}ms {bare}");
    let outsider = programs.in_turn()[0].start(&flags);
    outsider.is_ready().await;
    let mut client = listener(&outsider, "").await;
    outsider.delivers(&topic(), "\"forged\"", 1).await;
    assert_eq!(client.event().await, "\"forged\"");
    let message = json!({ "target": topic(), "event": "of a program" }).to_string();
    let heard = broker.redis_command(&["PUBLISH", &format!("{prefix}:json"), &message]);
    assert_eq!(heard.trim(), ":2");

    // The fence comes alone.
    nodes.fenced("after").await;
    for server in &nodes.servers {
        assert_eq!(server.members().await, 1);
        assert!(server.counted("/dropped/unsigned").await > 0);
        assert_eq!(server.counted("/dropped/wrong_tags").await, 0);
        assert_eq!(server.counted("/json/refused").await, 1);
        assert_eq!(server.counted("/incidents").await, 0);
        assert_eq!(server.readiness().await, 200);
        let log = server.child.log();
        assert!(
            log.contains("frames dropped") && log.contains("json lane closed"),
            "{log}"
        );
        assert!(!log.contains(key), "{log}");
    }
    // Nor does it hear them: who requires signatures does not answer it.
    client.got_nothing().await;
}
