//! How a connection ends, and how its successor takes up where it was.

use midplane_testkit::until;
use serde_json::{Value, json};

use crate::client::{Client, error_code};
use crate::fixture::{Program, Server, target};
use crate::flags;

/// All targets of a client that joined one of each kind.
async fn member_of_all(server: &Server) -> (Client, Vec<Value>) {
    let mut client = Client::connect(server, "user=u&org=o").await;
    let session = client.create_session("a").await;
    client.join("t").await;
    let targets = vec![
        client.target(),
        target("session", &session),
        target("user", "u"),
        target("org", "o"),
        target("agent", "a"),
        target("topic", "t"),
    ];
    for target in &targets {
        server.delivers(target, "1", 1).await;
    }
    (client, targets)
}

/// Waits until nobody is connected beside the `others`. Then nobody is in any of the targets: not
/// even one that a publish would have to find gone.
async fn detached(server: &Server, targets: &[Value], others: u64) {
    server.settles_at(others).await;
    for target in targets {
        let receipt = server.receipt(target, "2").await;
        for count in ["delivered", "full", "closed", "panicked"] {
            assert_eq!(receipt[count], 0, "{target}: {receipt}");
        }
    }
}

/// A client that says goodbye is in none of its targets any more.
pub async fn a_closed_client_is_detached(program: Program) {
    is_detached_once(program, async |client| client.close().await).await;
}

/// A client whose socket is reset without a word is in none of its targets any more.
pub async fn a_killed_client_is_detached(program: Program) {
    is_detached_once(program, async |client| client.kill()).await;
}

/// Ends a client beside another, which nothing reaches.
async fn is_detached_once(program: Program, end: impl AsyncFnOnce(Client)) {
    let (server, [mut other]) = program.start_with("", [""]).await;
    let (client, targets) = member_of_all(&server).await;
    assert_eq!(server.connections().await, 2);
    end(client).await;
    detached(&server, &targets, 1).await;
    other.got_nothing().await;
}

/// A client whose peer is gone without even a reset, and so answers no ping, is in none of its targets any more. One
/// that does answer stays.
pub async fn a_silent_client_is_detached(program: Program) {
    let (server, [mut other]) = program.start_with(flags::IMPATIENT_PINGS, [""]).await;
    let (silent, targets) = member_of_all(&server).await;
    let fence = other.target();
    let gone = async {
        detached(&server, &targets, 1).await;
        server.publish(&fence, "3").await
    };
    // The other client reads all the while, and with that answers pings.
    let (delivered, event) = futures::join!(gone, other.event());
    assert_eq!((delivered, event.as_str()), (1, "3"));
    drop(silent);
}

/// A client that was cut off joins its session again over a new connection, and what is published to
/// the session reaches it there, once.
pub async fn a_session_is_resumed_after_a_kill(program: Program) {
    let (server, [mut first]) = program.start_with("", [""]).await;
    let session = first.create_session("a").await;
    let target = target("session", &session);
    let old = first.connection.clone();
    server.delivers(&target, "1", 1).await;
    first.got(&["1"]).await;
    first.kill();
    let mut second = Client::connect(&server, "").await;
    assert_ne!(second.connection, old);
    second.resume_session(&session).await;
    // The server may still have to notice that the first is gone; then the second is alone.
    until("the session has one member", async || {
        (server.publish(&target, "2").await == 1).then_some(())
    })
    .await;
    let mut events = second.events().await;
    events.dedup();
    assert_eq!(events, ["2"]);
    server.delivers(&target, "3", 1).await;
    second.got(&["3"]).await;
    // Being in it, the second may also publish to it; and resuming twice delivers once.
    second.resume_session(&session).await;
    second.publishes(&target, &json!(4), false, 1).await;
    second.got(&["4"]).await;
}

/// Leaving, joining twice and joining again do what they say.
pub async fn topics_are_left_and_joined_again(program: Program) {
    let (server, [mut client]) = program.start_with("", [""]).await;
    let topic = target("topic", "t");
    for round in 0..3 {
        client.join("t").await;
        client.join("t").await;
        server.delivers(&topic, &format!("{round}"), 1).await;
        client.leave("t").await;
        server.delivers(&topic, "-1", 0).await;
        client.got(&[format!("{round}")]).await;
    }
    // Leaving where it is not may be refused or confirmed, and the connection lives.
    let leave = json!({"request": "leave", "topic": "t"});
    let said = client.request(leave).await;
    if said["midplane"] != "left" {
        error_code(&said);
    }
    client.got_nothing().await;
}
