//! What a client may not do: be someone else, or speak where it is not.

use serde_json::{Value, json};

use crate::client::{Client, error_code};
use crate::fixture::{Program, flags, publication, target};
use crate::flood;

/// A client publishes to the targets it is in, and to no other.
pub async fn a_client_publishes_only_where_it_is(program: Program) {
    let server = program.start(&[]);
    let mut insider = Client::connect(&server, "user=u1&org=o1").await;
    let mut outsider = Client::connect(&server, "user=u2&org=o2").await;
    let session = insider.create_session("a1").await;
    insider.join("t1").await;
    let targets = [
        target("user", "u1"),
        target("org", "o1"),
        target("session", &session),
        target("agent", "a1"),
        target("topic", "t1"),
        insider.target(),
    ];
    let publish = |target: &Value| json!({"request": "publish", "target": target, "event": 1});
    for target in &targets {
        assert_eq!(
            outsider.refused(publish(target)).await,
            "not_allowed",
            "{target}"
        );
    }
    assert_eq!(
        outsider.refused(publish(&target("topic", "empty"))).await,
        "not_allowed"
    );
    assert_eq!(insider.events(&server).await, [""; 0]);
    for target in &targets {
        assert_eq!(
            insider.publish(target, &json!(1), false).await,
            1,
            "{target}"
        );
    }
    assert_eq!(insider.events(&server).await, ["1"; 6]);
    insider.leave("t1").await;
    let code = insider.refused(publish(&target("topic", "t1"))).await;
    assert_eq!(code, "not_allowed");
    assert_eq!(server.publish(&target("topic", "t1"), "2").await, 0);
    assert_eq!(insider.events(&server).await, [""; 0]);
    assert_eq!(outsider.events(&server).await, [""; 0]);
}

/// User and org come from the identity alone: no request, however it is put, joins them.
pub async fn an_identity_cannot_be_claimed(program: Program) {
    let server = program.start(&[]);
    let mut owner = Client::connect(&server, "user=u1&org=o1").await;
    let mut thief = Client::connect(&server, "user=u2&org=o2").await;
    let session = owner.create_session("a1").await;
    for (kind, id) in [("user", "u1"), ("org", "o1"), ("session", &session)] {
        for request in [
            json!({"request": "join", "target": {"type": kind, "id": id}}),
            json!({"request": "join", "topic": {"type": kind, "id": id}}),
            json!({"request": "join", kind: id}),
            json!({"request": "associate", "target": {"type": kind, "id": id}}),
            json!({"request": "identify", kind: id}),
        ] {
            thief.refused(request).await;
        }
        // These are allowed as long as what they ask for beyond the protocol has no effect.
        for request in [
            json!({"request": "join", "topic": id, "type": kind}),
            json!({"request": "join", "topic": format!("{kind}:{id}")}),
            json!({"request": "create_session", "agent": "a2", kind: id}),
        ] {
            thief.request(request).await;
        }
        assert_eq!(
            server.publish(&target(kind, id), r#""secret""#).await,
            1,
            "{kind}"
        );
    }
    assert_eq!(thief.events(&server).await, [""; 0]);
    assert_eq!(owner.events(&server).await, [r#""secret""#; 3]);
}

/// A session's id is fresh and cannot be chosen, guessed or resumed by a false name, and nor can the
/// connection's.
pub async fn sessions_and_connections_are_unguessable(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "").await;
    let mut other = Client::connect(&server, "").await;
    let first = client.create_session("a").await;
    let second = client.create_session("a").await;
    let third = other.create_session("a").await;
    let ids = [
        &first,
        &second,
        &third,
        &client.connection,
        &other.connection,
    ];
    for (n, id) in ids.iter().enumerate() {
        // 16 bytes are 22 characters of base64; anything shorter is a counter or a clock.
        assert!(id.len() >= 22, "{id} is guessable");
        assert!(!ids[..n].contains(id), "{id} comes twice");
    }
    for guess in ["", "1", "lobby", &first[1..], &first.to_uppercase()] {
        let request = json!({"request": "resume_session", "session": guess});
        other.refused(request).await;
    }
    assert_eq!(server.publish(&target("session", &first), "1").await, 1);
    assert_eq!(other.events(&server).await, [""; 0]);
    assert_eq!(client.events(&server).await, ["1"]);
}

/// The welcome is the first message, with events under way to the client as it connects.
pub async fn the_welcome_comes_first(program: Program) {
    // A client that is behind on a busy machine would be told that it lost something before it got anything.
    let server = program.start(flags::LARGE_MAILBOX);
    let user = target("user", "u");
    let mut publisher = Client::connect(&server, "user=u").await;
    // A request at a time would leave most connections alone until they were welcomed.
    let publishing = async {
        for start in (0..).step_by(64) {
            flood::publish(&mut publisher, &user, start..start + 64, 0, None).await;
        }
    };
    let connecting = async {
        for _ in 0..100 {
            // Connecting checks that the first message is the welcome.
            let mut client = Client::connect(&server, "user=u").await;
            client.event().await;
        }
    };
    futures::pin_mut!(publishing, connecting);
    futures::future::select(publishing, connecting).await;
}

/// An event that would pass for a message of the server's, a `lost` or a `closing` say, is refused
/// from clients and by HTTP alike; the word is free anywhere else in an event.
pub async fn an_event_cannot_pass_for_a_message_of_the_server(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "").await;
    let own = client.target();
    for event in [
        r#"{"midplane":"closing"}"#,
        r#"{ "a":{}, "midplane":null }"#,
        r#"{"mid\u0070lane":1}"#,
        r#"{"midplane":1,"midplane":2}"#,
    ] {
        let answer = server.post(publication(&own, event)).await;
        assert_eq!(answer.status, 400, "{event}: {answer:?}");
        client
            .send(format!(
                r#"{{"request":"publish","target":{own},"event":{event}}}"#
            ))
            .await;
        error_code(&client.own().await);
    }
    let free = [
        r#"{"a":{"midplane":"closing"}}"#,
        r#"["midplane"]"#,
        r#"{"Midplane":"midplane"}"#,
    ];
    for event in free {
        assert_eq!(server.publish(&own, event).await, 1, "{event}");
    }
    assert_eq!(client.events(&server).await, free);
}
