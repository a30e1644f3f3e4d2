//! What a client says over its WebSocket, and what it is answered.

use serde_json::json;
use tokio_websockets::Message;

use crate::client::{Arrival, Client, error_code};
use crate::fixture::{Program, target};
use crate::{flags, flood};

/// Every answer echoes the `id` of its request, which may be any JSON, and has none where none was.
pub async fn answers_carry_the_id_of_their_request(program: Program) {
    let (_server, [mut client]) = program.start_with("", [""]).await;
    let ids = json!([null, "text", "", 0, -1.5, true, [1, "x"], {"a": {"b": 1}}]);
    let (topic, user) = (target("topic", "t"), target("user", "u"));
    let requests = json!({
        "session": [{"request": "create_session", "agent": "a"}],
        "joined": [{"request": "join", "topic": "t"}],
        "published": [{"request": "publish", "target": topic, "event": 1, "exclude_self": true}],
        "left": [{"request": "leave", "topic": "t"}],
        "error": [
            {"request": "dance"},
            {"request": "join"},
            {"request": "join", "topic": 7},
            {"request": "join", "topic": ""},
            {"request": "publish", "target": user, "event": 1},
            {"request": "resume_session", "session": "?"},
        ],
    });
    for answer in ["session", "joined", "published", "left", "error"] {
        for request in requests[answer].as_array().expect("a list") {
            for id in ids.as_array().expect("a list") {
                let mut request = request.clone();
                if !id.is_null() {
                    request["id"] = id.clone();
                }
                client.send(request.to_string()).await;
                let own = client.own().await;
                assert_eq!(own["midplane"], answer, "{request}: {own}");
                // Indexing gives null where there is none.
                assert_eq!(own["id"], *id, "{request}: {own}");
            }
        }
    }
}

/// Requests sent without waiting are answered one by one, in their order.
pub async fn requests_are_answered_in_order(program: Program) {
    let (_server, [mut client]) = program.start_with("", [""]).await;
    for n in 0..500 {
        let request = json!({"request": "join", "topic": format!("t{n}"), "id": n});
        client.send(request.to_string()).await;
        if n % 20 == 19 {
            for answered in n - 19..=n {
                let own = client.own().await;
                assert_eq!(own["id"], answered, "{own}");
            }
        }
    }
}

/// What is unknown, malformed or misses something is answered with an error, and the connection
/// lives on with all that it joined.
pub async fn bad_requests_are_answered_and_survived(program: Program) {
    let (server, [mut client]) = program.start_with("", [""]).await;
    client.join("kept").await;
    let long = format!(r#"{{"request":"join","topic":"{}"}}"#, "x".repeat(256));
    let deep = "[".repeat(10_000);
    let deep_event = format!(
        r#"{{"request":"join","topic":"t","x":{}1{}}}"#,
        r#"{"a":"#.repeat(5_000),
        "}".repeat(5_000)
    );
    let bad = [
        "",
        " ",
        "{",
        "}",
        "hello",
        "{}",
        "[]",
        "null",
        "42",
        "\"join\"",
        "{} {}",
        "\u{0}",
        r#"{"request":}"#,
        r#"{"request":42}"#,
        r#"{"request":null}"#,
        r#"{"request":""}"#,
        r#"{"request":"dance"}"#,
        r#"{"request":"Join","topic":"t"}"#,
        r#"{"request":"join"}"#,
        r#"{"request":"join","topic":null}"#,
        r#"{"request":"join","topic":7}"#,
        r#"{"request":"join","topic":["t"]}"#,
        r#"{"request":"join","topic":""}"#,
        r#"{"request":"join","topic":"t""#,
        r#"{"request":"join","topic":"t"},"#,
        r#"{"request":"leave"}"#,
        r#"{"request":"leave","topic":{}}"#,
        r#"{"request":"create_session","agent":7}"#,
        r#"{"request":"create_session","agent":""}"#,
        r#"{"request":"resume_session"}"#,
        r#"{"request":"resume_session","session":7}"#,
        r#"{"request":"publish"}"#,
        r#"{"request":"publish","event":1}"#,
        r#"{"request":"publish","target":{"type":"topic","id":"kept"}}"#,
        r#"{"request":"publish","target":"kept","event":1}"#,
        r#"{"request":"publish","target":{},"event":1}"#,
        r#"{"request":"publish","target":{"type":"topic"},"event":1}"#,
        r#"{"request":"publish","target":{"id":"kept"},"event":1}"#,
        r#"{"request":"publish","target":{"type":"room","id":"kept"},"event":1}"#,
        r#"{"request":"publish","target":{"type":"topic","id":""},"event":1}"#,
        r#"{"request":"publish","target":{"type":"topic","id":7},"event":1}"#,
        r#"{"request":"publish","target":{"type":"topic","id":"kept"},"event":}"#,
        r#"{"request":"publish","target":{"type":"topic","id":"kept"},"event":1,"exclude_self":"yes"}"#,
        &long,
        &deep,
        &deep_event[..deep_event.len() - 1],
    ];
    for text in bad {
        client.send(text).await;
        let said = client.own().await;
        assert_eq!(said["midplane"], "error", "{text:?} was answered {said}");
        error_code(&said);
    }
    server.delivers(&target("topic", "kept"), "1", 1).await;
    client.got(&["1"]).await;
}

/// What a client asked for before it went is carried out, however it went: with the end of its stream and no close frame,
/// or with a reset while answers that nobody reads are on their way.
pub async fn what_was_asked_before_the_end_is_carried_out(program: Program) {
    // More than the server carries out between two writes, and as little as fits into a few segments, for what has not left
    // the client when that resets the connection never came.
    const REQUESTS: u64 = 150;
    let (server, [mut other]) = program.start_with(flags::LARGE_MAILBOX, ["user=u"]).await;
    for reset in [false, true, true, true] {
        let mut client = Client::connect(&server, "user=u").await;
        let user = target("user", "u");
        let requests: Vec<_> = (0..REQUESTS).map(|n| flood::request(&user, n, 0)).collect();
        client.send_together(&requests).await;
        match reset {
            true => client.kill_unread(),
            false => client.end().await,
        }
        let mut next = 0;
        while next < REQUESTS {
            assert_eq!(flood::number(&other.event().await), Some(next));
            next += 1;
        }
    }
    server.settles_at(1).await;
}

/// A binary message is answered with an error, and the connection lives.
pub async fn a_binary_message_is_answered_and_survived(program: Program) {
    let (server, [mut client]) = program.start_with("", [""]).await;
    for bytes in [&b""[..], b"\xff\x00", br#"{"request":"join","topic":"t"}"#] {
        client.send_message(Message::binary(bytes)).await;
        error_code(&client.own().await);
    }
    server.delivers(&target("topic", "t"), "1", 0).await;
    client.got_nothing().await;
}

/// A message larger than the limit is refused, with an error or a close of 1009, and others are not
/// concerned.
pub async fn an_oversize_message_is_refused(program: Program) {
    let (server, [mut other, mut client]) = program.start_with("", ["user=u", "user=u"]).await;
    let event = format!("\"{}\"", "x".repeat(4 << 20));
    let user = target("user", "u");
    let request = format!(r#"{{"request":"publish","target":{user},"event":{event}}}"#);
    client.try_send(Message::text(request)).await;
    match client.next().await {
        Arrival::Own(error) => {
            error_code(&error);
            client.got_nothing().await;
        }
        Arrival::Close(1009) => {
            drop(client);
            server.settles_at(1).await;
        }
        other => panic!("an error or a close of 1009, and not {other:?}"),
    }
    other.got_nothing().await;
}
