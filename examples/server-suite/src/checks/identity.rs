//! What a client may not do: be someone else, or speak where it is not.

use serde_json::{Value, json};

use crate::client::{Client, error_code};
use crate::fixture::{Program, publication, target};
use crate::{flags, flood};

/// A client publishes to the targets it is in, and to no other.
pub async fn a_client_publishes_only_where_it_is(program: Program) {
    let (server, [mut insider, mut outsider]) = program
        .start_with("", ["user=u1&org=o1", "user=u2&org=o2"])
        .await;
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
        let code = outsider.refused(publish(target)).await;
        assert_eq!(code, "not_allowed", "{target}");
    }
    let code = outsider.refused(publish(&target("topic", "empty"))).await;
    assert_eq!(code, "not_allowed");
    insider.got_nothing().await;
    for target in &targets {
        insider.publishes(target, &json!(1), false, 1).await;
    }
    insider.got(&["1"; 6]).await;
    insider.leave("t1").await;
    let code = insider.refused(publish(&target("topic", "t1"))).await;
    assert_eq!(code, "not_allowed");
    server.delivers(&target("topic", "t1"), "2", 0).await;
    insider.got_nothing().await;
    outsider.got_nothing().await;
}

/// User and org come from the identity alone: no request, however it is put, joins them.
pub async fn an_identity_cannot_be_claimed(program: Program) {
    let (server, [mut owner, mut thief]) = program
        .start_with("", ["user=u1&org=o1", "user=u2&org=o2"])
        .await;
    let session = owner.create_session("a1").await;
    for (kind, id) in [("user", "u1"), ("org", "o1"), ("session", &session)] {
        let target = target(kind, id);
        for request in [
            json!({"request": "join", "target": target}),
            json!({"request": "join", "topic": target}),
            json!({"request": "join", kind: id}),
            json!({"request": "associate", "target": target}),
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
        server.delivers(&target, r#""secret""#, 1).await;
    }
    thief.got_nothing().await;
    owner.got(&[r#""secret""#; 3]).await;
}

/// A session's id is fresh and cannot be chosen, guessed or resumed by a false name, and nor can the
/// connection's.
pub async fn sessions_and_connections_are_unguessable(program: Program) {
    let (server, [mut client, mut other]) = program.start_with("", ["", ""]).await;
    let first = client.create_session("a").await;
    let second = client.create_session("a").await;
    let third = other.create_session("a").await;
    let connections = [&client.connection, &other.connection];
    let ids = [&[&first, &second, &third][..], &connections].concat();
    for (n, id) in ids.iter().enumerate() {
        // 16 bytes are 22 characters of base64; anything shorter is a counter or a clock.
        assert!(id.len() >= 22, "{id} is guessable");
        assert!(!ids[..n].contains(id), "{id} comes twice");
    }
    for guess in ["", "1", "lobby", &first[1..], &first.to_uppercase()] {
        let request = json!({"request": "resume_session", "session": guess});
        other.refused(request).await;
    }
    server.delivers(&target("session", &first), "1", 1).await;
    other.got_nothing().await;
    client.got(&["1"]).await;
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
    let (server, [mut client]) = program.start_with("", [""]).await;
    let own = client.target();
    for event in [
        r#"{"midplane":"closing"}"#,
        r#"{ "a":{}, "midplane":null }"#,
        r#"{"mid\u0070lane":1}"#,
        r#"{"midplane":1,"midplane":2}"#,
        r#"{"a":{},"mid\u0070lane":null}"#,
        r#"{"\ud800":1,"midplane":1}"#,
    ] {
        server.post(publication(&own, event), 400).await;
        let request = format!(r#"{{"request":"publish","target":{own},"event":{event}}}"#);
        client.send(request).await;
        assert_eq!(error_code(&client.own().await), "reserved", "{event}");
    }
    let free = [
        r#"{"a":{"midplane":"closing"}}"#,
        r#"["midplane"]"#,
        r#"{"Midplane":"midplane"}"#,
        r#"{"a":"midplane"}"#,
        r#"{"\ud800":"midplane"}"#,
    ];
    for event in free {
        server.delivers(&own, event, 1).await;
    }
    client.got(&free).await;
}
