//! The plain HTTP side.

use tokio::io::AsyncWriteExt;

use crate::client::Client;
use crate::fixture::{Program, publication, target};
use crate::http::{Answer, Request, connect};
use crate::within;

/// A body that is no publication is refused with what is wrong and where; the server goes on.
pub async fn a_bad_publication_is_400_with_what_and_where(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "user=u").await;
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
        let answer = server.post(body).await;
        assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
        assert!(
            answer.text().contains(word),
            "{body:?}: no {word:?} in {answer:?}"
        );
        assert!(!answer.text().is_empty(), "{body:?}");
    }
    let answer = server
        .post(b"{\"target\":{\"type\":\"user\",\"id\":\"u\"},\"event\":\"\xff\"}")
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(client.events(&server).await, [""; 0]);
    assert_eq!(
        server.publish(&target("user", &"x".repeat(255)), "1").await,
        0
    );
    assert_eq!(server.publish(&target("user", "u"), "1").await, 1);
    assert_eq!(client.events(&server).await, ["1"]);
}

/// A body over the limit is 413, whether its length is announced, true, or left open.
pub async fn a_large_body_is_413(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "user=u").await;
    let large = publication(
        &target("user", "u"),
        &format!("\"{}\"", "x".repeat(16 << 20)),
    );
    let answer = server.post(&large).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let announced = Request::new("POST", "/publish").header("content-length", "1000000000000");
    assert_eq!(announced.send(server.address).await.status, 413);
    let mut chunked = Vec::new();
    for chunk in large.as_bytes().chunks(64 * 1024) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    let open = Request::new("POST", "/publish")
        .header("transfer-encoding", "chunked")
        .unmeasured_body(chunked);
    assert_eq!(open.send(server.address).await.status, 413);
    assert_eq!(client.events(&server).await, [""; 0]);
    assert_eq!(server.publish(&target("user", "u"), "1").await, 1);
}

/// The paths there are, those there are not, and the methods of each.
pub async fn paths_and_methods_are_told_apart(program: Program) {
    let server = program.start(&[]);
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    assert!(page.text().contains("<html"), "{}", page.text());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in [
        "/nothing",
        "/publish/",
        "/ws/",
        "/healthz/x",
        "//",
        "/../etc/passwd",
        "/%2e%2e",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
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
        let answer = Request::new(method, path).send(server.address).await;
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.contains(allowed), "{method} {path}: {answer:?}");
    }
    // A page load that goes to the socket's path by mistake is told what is wrong with it.
    let plain = server.get("/ws").await;
    assert!([400, 426].contains(&plain.status), "{plain:?}");
}

/// The answer to a publish is the whole receipt.
pub async fn the_receipt_is_answered(program: Program) {
    let server = program.start(&[]);
    let _client = Client::connect(&server, "user=u").await;
    for (user, delivered) in [("u", 1), ("nobody", 0)] {
        let answer = server.post(publication(&target("user", user), "1")).await;
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.contains("json"))
        );
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
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "user=u").await;
    let mut stream = connect(server.address).await;
    let events: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for event in &events {
        let request = Request::new("POST", "/publish")
            .header("connection", "keep-alive")
            .body(publication(&target("user", "u"), event))
            .bytes(server.address);
        within("the request leaves", stream.write_all(&request))
            .await
            .expect("the server reads");
    }
    for answer in Answer::read_all(&mut stream, events.len()).await {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.delivered(), 1);
    }
    assert_eq!(client.events(&server).await, events);
}
