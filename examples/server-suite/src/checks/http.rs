//! The plain HTTP side.

use midplane_testkit::{succeeds, within};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::fixture::{Program, publication, target};
use crate::flags;
use crate::http::{Answer, Request, connect};

/// A body that is no publication is refused with what is wrong and where; the server goes on.
pub async fn a_bad_publication_is_400_with_what_and_where(program: Program) {
    let (server, [mut client]) = program.start_with("", ["user=u"]).await;
    let long = publication(&target("user", &"x".repeat(256)), "1");
    let deep = format!(r#"{{"target":{},"event":1}}"#, "[".repeat(10_000));
    // Each with a word that the answer must contain: the field, or the place in the text.
    let bad = [
        ("", "line 1"),
        ("{", "line 1"),
        ("null", "line 1"),
        ("[]", ""),
        ("hello", "line 1"),
        ("{}", "target"),
        (r#"{"target":{"type":"user","id":"u"}}"#, "event"),
        (r#"{"event":1}"#, "target"),
        (r#"{"target":"u","event":1}"#, "line 1"),
        (r#"{"target":{},"event":1}"#, "type"),
        (r#"{"target":{"type":"user"},"event":1}"#, "id"),
        (r#"{"target":{"id":"u"},"event":1}"#, "type"),
        (r#"{"target":{"type":"room","id":"u"},"event":1}"#, "room"),
        (r#"{"target":{"type":"User","id":"u"},"event":1}"#, "User"),
        (r#"{"target":{"type":"user","id":""},"event":1}"#, "empty"),
        (r#"{"target":{"type":"user","id":7},"event":1}"#, "7"),
        (&long, "255"),
        (
            "{\"target\":{\"type\":\"user\",\"id\":\"u\"},\n \"event\":}",
            "line 2",
        ),
        (
            r#"{"target":{"type":"user","id":"u"},"event":01}"#,
            "line 1",
        ),
        (
            r#"{"target":{"type":"user","id":"u"},"event":1} x"#,
            "line 1",
        ),
        (r#"{"target":{"type":"user","id":"u"},"event":1"#, "line 1"),
        (&deep, ""),
    ];
    for (body, word) in bad {
        let answer = server.post(body, 400).await;
        let text = answer.text();
        assert!(text.contains(word), "{body:?}: no {word:?} in {text}");
        assert!(!text.is_empty(), "{body:?}");
    }
    let not_text = b"{\"target\":{\"type\":\"user\",\"id\":\"u\"},\"event\":\"\xff\"}";
    server.post(not_text, 400).await;
    client.got_nothing().await;
    server
        .delivers(&target("user", &"x".repeat(255)), "1", 0)
        .await;
    server.delivers(&target("user", "u"), "1", 1).await;
    client.got(&["1"]).await;
}

/// A body over the limit is 413, whether its length is announced, true, or left open.
pub async fn a_large_body_is_413(program: Program) {
    let (server, [mut client]) = program.start_with("", ["user=u"]).await;
    let event = format!("\"{}\"", "x".repeat(16 << 20));
    let large = publication(&target("user", "u"), &event);
    server.post(&large, 413).await;
    let announced = Request::new("POST", "/publish").header("content-length", "1000000000000");
    announced.answered(&server, 413).await;
    let mut chunked = Vec::new();
    for chunk in large.as_bytes().chunks(64 * 1024) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    let open = Request::new("POST", "/publish")
        .header("transfer-encoding", "chunked")
        .body(chunked);
    open.answered(&server, 413).await;
    client.got_nothing().await;
    server.delivers(&target("user", "u"), "1", 1).await;
}

/// The paths there are, those there are not, and the methods of each.
pub async fn paths_and_methods_are_told_apart(program: Program) {
    let server = program.start("");
    let page = server.get("/", 200).await;
    assert!(page.is("text/html"), "{page:?}");
    assert!(page.text().contains("<html"), "{}", page.text());
    for path in ["/healthz", "/readyz"] {
        server.get(path, 200).await;
    }
    let inside = ["/nothing", "/publish/", "/ws/", "/healthz/x"];
    let outside = ["//", "/../etc/passwd", "/%2e%2e"];
    for path in inside.iter().chain(&outside) {
        server.get(path, 404).await;
    }
    for (method, path, allowed) in [
        ("GET", "/publish", "POST"),
        ("PUT", "/publish", "POST"),
        ("DELETE", "/publish", "POST"),
        ("POST", "/", "GET"),
        ("POST", "/healthz", "GET"),
        ("DELETE", "/readyz", "GET"),
        ("POST", "/ws", "GET"),
    ] {
        let answer = Request::new(method, path).answered(&server, 405).await;
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.contains(allowed), "{method} {path}: {answer:?}");
    }
    // A page load that goes to the socket's path by mistake is told what is wrong with it.
    let plain = Request::new("GET", "/ws").send(server.address).await;
    assert!([400, 426].contains(&plain.status), "{plain:?}");
}

/// The answer to a publish is the whole receipt.
pub async fn the_receipt_is_answered(program: Program) {
    let (server, [_client]) = program.start_with("", ["user=u"]).await;
    for (user, delivered) in [("u", 1), ("nobody", 0)] {
        let body = publication(&target("user", user), "1");
        let answer = server.post(body, 200).await;
        assert!(answer.is("application/json"), "{answer:?}");
        let receipt = answer.json();
        assert_eq!(receipt["delivered"], delivered, "{receipt}");
        assert_eq!(receipt["full"], 0, "{receipt}");
        assert_eq!(receipt["closed"], 0, "{receipt}");
        assert!(receipt.get("relay").is_some(), "{receipt}");
    }
}

/// A publisher that keeps its connection open publishes over it again and again, also without
/// waiting for the answers, which come in order.
pub async fn one_connection_carries_many_requests(program: Program) {
    let (server, [mut client]) = program.start_with("", ["user=u"]).await;
    let mut stream = BufReader::new(connect(server.address).await);
    let events: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for event in &events {
        let request = Request::publish(publication(&target("user", "u"), event))
            .header("connection", "keep-alive")
            .bytes(server.address);
        succeeds("the request leaves", stream.write_all(&request)).await;
    }
    for event in &events {
        let answer = within(format!("answer {event}"), Answer::read(&mut stream)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.delivered(), 1);
    }
    client.got(&events).await;
}

/// A header that is a list may stand in several lines, as some proxies write it.
pub async fn a_list_may_stand_in_several_lines(program: Program) {
    let server = program.start("");
    let upgrade = Request::upgrade("/ws").header("connection", "keep-alive");
    let upgrade = upgrade.line("connection", "Upgrade");
    upgrade.answered(&server, 101).await;
    let several = Request::upgrade("/ws").header("upgrade", "h2c");
    several
        .line("upgrade", "websocket")
        .answered(&server, 101)
        .await;
}

/// A load balancer asks for health with its own `Host`, or without, and is told the status alone. A proxy serves the page
/// under a name that the server knows.
pub async fn probes_and_proxies_come_in(program: Program) {
    let server = program.start("--public-host live.example");
    for path in ["/healthz", "/readyz"] {
        let bare = Request::new("GET", path).without_host();
        for request in [
            bare,
            Request::new("GET", path).header("host", "10.1.2.3:8080"),
        ] {
            let told = request.answered(&server, 200).await.json();
            assert_eq!(
                told.as_object().map(serde_json::Map::len),
                Some(1),
                "{told}"
            );
        }
    }
    for path in ["/", "/healthz"] {
        let proxied = Request::new("GET", path).header("host", "live.example");
        proxied.answered(&server, 200).await;
    }
    let upgrade = Request::upgrade("/ws").header("host", "live.example");
    let upgrade = upgrade.header("origin", "https://live.example");
    upgrade.answered(&server, 101).await;
    Request::new("GET", "/")
        .without_host()
        .answered(&server, 403)
        .await;
}

/// A connection is kept longer between two requests than the first may take, for as long as the answers say.
pub async fn a_connection_is_kept_between_requests(program: Program) {
    let server = program.start("--header-timeout 500ms --keep-alive 10m");
    let mut stream = BufReader::new(connect(server.address).await);
    // A client that sends nothing at all shows that the time for a first request is over.
    let mut silent = connect(server.address).await;
    for pause in [true, false] {
        let request = Request::new("GET", "/healthz").header("connection", "keep-alive");
        let request = request.bytes(server.address);
        succeeds("the request leaves", stream.write_all(&request)).await;
        let answer = within("an answer", Answer::read(&mut stream)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("keep-alive"), Some("timeout=600"));
        if pause {
            let _ = within("the end", silent.read(&mut [0])).await;
        }
    }
}

/// A connection that is old is closed with its next answer, which says so: what comes next goes to a server that may be
/// younger.
pub async fn an_old_connection_is_closed_with_its_answer(program: Program) {
    let server = program.start(flags::OLD_SOCKETS);
    let mut socket = BufReader::new(connect(server.address).await);
    let request = Request::new("GET", "/healthz").header("connection", "keep-alive");
    let request = request.bytes(server.address);
    for answers in 0.. {
        assert!(answers < 10_000, "it grows as old as its client likes");
        succeeds("the request leaves", socket.write_all(&request)).await;
        let answer = within("an answer", Answer::read(&mut socket)).await;
        assert_eq!(answer.status, 200);
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    let mut rest = Vec::new();
    succeeds("the end", socket.read_to_end(&mut rest)).await;
    assert_eq!(rest.len(), 0);
}

/// A publication that a proxy repeats is published once, and answered as it was.
pub async fn a_repeated_publication_is_published_once(program: Program) {
    let (server, [mut client]) = program.start_with("", ["user=u"]).await;
    let keyed = |key: &str, event: u64| {
        let target = target("user", "u");
        json!({"target": target, "event": event, "idempotency_key": key}).to_string()
    };
    for _ in 0..3 {
        let answer = server.post(keyed("k", 1), 200).await;
        assert_eq!(answer.delivered(), 1);
    }
    server.post(keyed("k", 2), 409).await;
    server.post(keyed("", 2), 400).await;
    server.post(keyed(&"k".repeat(256), 2), 400).await;
    server.post(keyed("l", 1), 200).await;
    client.got(&["1", "1"]).await;
}
