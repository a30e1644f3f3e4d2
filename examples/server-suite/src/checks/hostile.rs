//! What a web page of someone else, or a peer that wants to tie the server up, can do: nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::Client;
use crate::fixture::{Program, flags, publication, target};
use crate::http::{Request, connect};
use crate::within;

/// A page from elsewhere that runs in the user's browser can neither connect nor publish; the
/// server's own page can.
pub async fn a_foreign_origin_is_403(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "user=u").await;
    let own = server.url();
    let port = server.address.port();
    let publish = || Request::new("POST", "/publish").body(publication(&target("user", "u"), "1"));
    for origin in [
        "http://evil.example",
        "https://evil.example",
        "null",
        "",
        "file://",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        &format!("http://localhost:{port}"),
        &format!("ftp://127.0.0.1:{port}"),
        &format!("http://evil.example:{port}"),
        &format!("http://127.0.0.1:{port}.evil.example"),
        &format!("http://127.0.0.1.evil.example:{port}"),
        &format!("http://127.0.0.1:{port}@evil.example"),
    ] {
        for request in [Request::upgrade("/ws?user=u"), publish()] {
            let request = request.header("origin", origin);
            let answer = request.send(server.address).await;
            assert_eq!(answer.status, 403, "{origin:?}: {request:?}: {answer:?}");
        }
    }
    assert_eq!(server.connections().await, 1);
    assert_eq!(client.events(&server).await, [""; 0]);
    let answer = publish().header("origin", &*own).send(server.address).await;
    assert_eq!((answer.status, answer.delivered()), (200, 1));
    let answer = Request::upgrade("/ws")
        .header("origin", &*own)
        .send(server.address)
        .await;
    assert_eq!(answer.status, 101);
    assert_eq!(client.events(&server).await, ["1"]);
}

/// A name that a foreign page had rebound to this machine is no name of the server.
pub async fn a_foreign_host_is_403(program: Program) {
    let server = program.start(&[]);
    let mut client = Client::connect(&server, "user=u").await;
    let port = server.address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
    ] {
        for request in [
            Request::upgrade("/ws?user=u"),
            Request::upgrade("/ws?user=u").header("origin", format!("http://{host}")),
            Request::new("POST", "/publish").body(publication(&target("user", "u"), "1")),
        ] {
            let request = request.header("host", &*host);
            let answer = request.send(server.address).await;
            assert_eq!(answer.status, 403, "{request:?}: {answer:?}");
        }
    }
    assert_eq!(client.events(&server).await, [""; 0]);
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let answer = Request::upgrade("/ws")
            .header("host", &*host)
            .send(server.address)
            .await;
        assert_eq!(answer.status, 101, "{host}: {answer:?}");
    }
}

/// A peer that starts something and then falls silent is cut off, at whatever point it stopped.
pub async fn a_slow_handshake_is_cut_off(program: Program) {
    let server = program.start(flags::IMPATIENT_HANDSHAKE);
    let mut client = Client::connect(&server, "").await;
    let starts: [&[u8]; 4] = [
        b"",
        b"G",
        b"GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: webso",
        b"POST /publish HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{\"target\":",
    ];
    let mut peers = Vec::new();
    for start in starts {
        let mut stream = connect(server.address).await;
        let start =
            String::from_utf8_lossy(start).replace("127.0.0.1", &server.address.to_string());
        stream
            .write_all(start.as_bytes())
            .await
            .expect("the server accepts");
        peers.push(stream);
    }
    for (mut stream, start) in peers.into_iter().zip(starts) {
        // An answer such as 408 may come before the end; a reset is an end too.
        let mut rest = Vec::new();
        let what = format!("the end after {:?}", start.escape_ascii().to_string());
        let _ = within(what, stream.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", rest.escape_ascii());
    }
    // The limit is for handshakes: who is connected stays, however little it says.
    assert_eq!(client.events(&server).await, [""; 0]);
}

/// Bytes that are no HTTP are answered with a 400 or cut off, and the server goes on.
pub async fn garbage_is_cut_off(program: Program) {
    let server = program.start(&[]);
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: -1\r\n\r\n",
        &[0xff; 70_000],
    ] {
        let mut stream = connect(server.address).await;
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = within("the end", stream.read_to_end(&mut rest)).await;
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 4") || rest.starts_with(b"HTTP/1.0 4"),
            "{}",
            rest.escape_ascii()
        );
    }
    for request in [
        Request::upgrade("/ws").header("sec-websocket-version", "12"),
        Request::upgrade("/ws").header("sec-websocket-key", ""),
        Request::upgrade("/ws").header("upgrade", "h2c"),
    ] {
        let answer = request.send(server.address).await;
        assert!(
            [400, 426].contains(&answer.status),
            "{request:?}: {answer:?}"
        );
    }
    // An upgraded connection that then sends what is no frame is closed, and detached with that.
    let mut stream = connect(server.address).await;
    let request = Request::upgrade("/ws").bytes(server.address);
    stream.write_all(&request).await.expect("the server reads");
    stream
        .write_all(&[0xff; 64])
        .await
        .expect("the server reads");
    let mut rest = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut rest)).await;
    server.settles_at(0).await;
}
