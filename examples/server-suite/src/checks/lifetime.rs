//! How a connection ends, and how its successor takes up where it was.

use serde_json::{Value, json};

use crate::client::{Client, error_code};
use crate::fixture::{Program, Server, flags, target};
use crate::until;

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
        assert_eq!(server.publish(target, "1").await, 1, "{target}");
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
    let server = program.start(&[]);
    let mut witness = Client::connect(&server, "").await;
    let (client, targets) = member_of_all(&server).await;
    assert_eq!(server.connections().await, 2);
    client.close().await;
    detached(&server, &targets, 1).await;
    assert_eq!(witness.events(&server).await, [""; 0]);
}

/// So is one whose socket is reset without a word.
pub async fn a_killed_client_is_detached(program: Program) {
    let server = program.start(&[]);
    let mut witness = Client::connect(&server, "").await;
    let (client, targets) = member_of_all(&server).await;
    client.kill();
    detached(&server, &targets, 1).await;
    assert_eq!(witness.events(&server).await, [""; 0]);
}

/// So is one whose peer is gone without even a reset: it answers no ping. One that does answer stays.
pub async fn a_silent_client_is_detached(program: Program) {
    let server = program.start(flags::IMPATIENT_PINGS);
    let mut witness = Client::connect(&server, "").await;
    let (silent, targets) = member_of_all(&server).await;
    let fence = witness.target();
    let gone = async {
        detached(&server, &targets, 1).await;
        server.publish(&fence, "3").await
    };
    // The witness reads all the while, and with that answers pings.
    let (delivered, event) = futures::join!(gone, witness.event());
    assert_eq!((delivered, event.as_str()), (1, "3"));
    drop(silent);
}

/// A client that was cut off joins its session again over a new connection, and what is published to
/// the session reaches it there, once.
pub async fn a_session_is_resumed_after_a_kill(program: Program) {
    let server = program.start(&[]);
    let mut first = Client::connect(&server, "").await;
    let session = first.create_session("a").await;
    let target = target("session", &session);
    let old = first.connection.clone();
    assert_eq!(server.publish(&target, "1").await, 1);
    assert_eq!(first.events(&server).await, ["1"]);
    first.kill();
    let mut second = Client::connect(&server, "").await;
    assert_ne!(second.connection, old);
    second.resume_session(&session).await;
    // The server may still have to notice that the first is gone; then the second is alone.
    until("the session has one member", async || {
        (server.publish(&target, "2").await == 1).then_some(())
    })
    .await;
    let events = second.events(&server).await;
    assert!(
        !events.is_empty() && events.iter().all(|event| event == "2"),
        "{events:?}"
    );
    assert_eq!(server.publish(&target, "3").await, 1);
    assert_eq!(second.events(&server).await, ["3"]);
    // Being in it, the second may also publish to it; and resuming twice delivers once.
    second.resume_session(&session).await;
    assert_eq!(second.publish(&target, &json!(4), false).await, 1);
    assert_eq!(second.events(&server).await, ["4"]);
}

/// Leaving, joining twice and joining again do what they say.
pub async fn topics_are_left_and_joined_again(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "").await;
    let topic = target("topic", "t");
    for round in 0..3 {
        client.join("t").await;
        client.join("t").await;
        assert_eq!(server.publish(&topic, &format!("{round}")).await, 1);
        client.leave("t").await;
        assert_eq!(server.publish(&topic, "-1").await, 0);
        assert_eq!(client.events(&server).await, [format!("{round}")]);
    }
    // Leaving where it is not may be refused or confirmed, and the connection lives.
    let said = client
        .request(json!({"request": "leave", "topic": "t"}))
        .await;
    if said["midplane"] != "left" {
        error_code(&said);
    }
    assert_eq!(client.events(&server).await, [""; 0]);
}
