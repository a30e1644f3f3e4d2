//! What a web page of someone else, or a peer that wants to tie the server up, can do: nothing.

use std::fmt::Display;

use midplane_testkit::{succeeds, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::fixture::{Program, publication, target};
use crate::flags;
use crate::http::{Answer, Request, connect, connect_from};

/// A page from elsewhere that runs in the user's browser can neither connect nor publish; the
/// server's own page can.
pub async fn a_foreign_origin_is_403(program: Program) {
    let (server, [mut client]) = program.start_with("", ["user=u"]).await;
    let own = server.url();
    let port = server.address.port();
    let publish = || Request::publish(publication(&target("user", "u"), "1"));
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
            request.answered(&server, 403).await;
        }
    }
    assert_eq!(server.connections().await, 1);
    client.got_nothing().await;
    let publish = publish().header("origin", &*own);
    assert_eq!(publish.answered(&server, 200).await.delivered(), 1);
    let upgrade = Request::upgrade("/ws").header("origin", &*own);
    upgrade.answered(&server, 101).await;
    client.got(&["1"]).await;
}

/// A name that a foreign page had rebound to this machine is no name of the server.
pub async fn a_foreign_host_is_403(program: Program) {
    let (server, [mut client]) = program.start_with("", ["user=u"]).await;
    let port = server.address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
    ] {
        for request in [
            Request::upgrade("/ws?user=u"),
            Request::upgrade("/ws?user=u").header("origin", format!("http://{host}")),
            Request::publish(publication(&target("user", "u"), "1")),
        ] {
            let request = request.header("host", &*host);
            request.answered(&server, 403).await;
        }
    }
    client.got_nothing().await;
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let upgrade = Request::upgrade("/ws").header("host", &*host);
        upgrade.answered(&server, 101).await;
    }
}

/// A peer that starts something and then falls silent is cut off, at each point where it may stop.
pub async fn a_slow_handshake_is_cut_off(program: Program) {
    let (server, [mut client]) = program.start_with(flags::IMPATIENT_HANDSHAKE, [""]).await;
    let host = server.address;
    let starts = [
        String::new(),
        "G".to_owned(),
        format!("GET /ws HTTP/1.1\r\nhost: {host}\r\nupgrade: webso"),
        format!(
            "POST /publish HTTP/1.1\r\nhost: {host}\r\ncontent-length: 100\r\n\r\n{{\"target\":"
        ),
    ];
    let mut peers = Vec::new();
    for start in starts {
        let mut stream = connect(server.address).await;
        succeeds("the start leaves", stream.write_all(start.as_bytes())).await;
        peers.push((stream, start));
    }
    for (mut stream, start) in peers {
        // An answer such as 408 may come before the end.
        let rest = rest(&mut stream, format!("the end after {start:?}")).await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", rest.escape_ascii());
    }
    // The limit is for handshakes: a connected client stays, however little it says.
    client.got_nothing().await;
}

/// What a peer sends until it ends the connection, be it by a reset.
async fn rest(stream: &mut TcpStream, what: impl Display) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within(what, stream.read_to_end(&mut rest)).await;
    rest
}

/// Sockets that are kept and idle lock nobody out: for a newcomer the one gives way that has been idle for the longest
/// time, of the address that has most.
pub async fn idle_sockets_lock_nobody_out(program: Program) {
    const SOCKETS: u8 = 8;
    let server = program.start(flags::FEW_SOCKETS);
    let request = Request::new("GET", "/healthz").header("connection", "keep-alive");
    let request = request.bytes(server.address);
    // The oldest of all, and the only one of its address.
    let mut modest = BufReader::new(connect_from(2, server.address).await);
    let ask = async |socket: &mut BufReader<TcpStream>| {
        let _ = socket.write_all(&request).await;
        within("an answer or an end", Answer::read_or_end(socket)).await
    };
    assert!(ask(&mut modest).await.is_some());
    let mut greedy = Vec::new();
    for _ in 0..2 * SOCKETS {
        let mut socket = BufReader::new(connect_from(3, server.address).await);
        // With the answer the socket has a place, which an earlier one may have given up.
        assert!(ask(&mut socket).await.is_some());
        greedy.push(socket);
    }
    let mut kept = 0;
    for socket in &mut greedy {
        kept += u8::from(ask(socket).await.is_some());
    }
    assert!((1..SOCKETS).contains(&kept), "{kept} are kept");
    for _ in 0..2 * SOCKETS {
        server.get("/readyz", 200).await;
        Client::connect(&server, "").await.close().await;
    }
    assert!(ask(&mut modest).await.is_some(), "fairness is by address");
}

/// Where every socket has a request under way, who asks how the server is has an answer, and nobody else.
pub async fn busy_sockets_lock_no_probe_out(program: Program) {
    let server = program.start(flags::FEW_SOCKETS);
    let host = server.address;
    let start = format!("POST /publish HTTP/1.1\r\nhost: {host}\r\ncontent-length: 100\r\n\r\n{{");
    let mut busy = Vec::new();
    loop {
        let mut socket = connect(server.address).await;
        succeeds("the start leaves", socket.write_all(start.as_bytes())).await;
        busy.push(socket);
        let answer = Request::new("GET", "/").send(server.address).await;
        if answer.status == 503 {
            break;
        }
        // One whose request had not come yet may have given way.
        assert!(busy.len() < 64, "nothing is ever full");
    }
    for _ in 0..64 {
        server.get("/readyz", 200).await;
        server.get("/healthz", 200).await;
    }
    Request::upgrade("/ws").answered(&server, 503).await;
    drop(busy);
    until("there is room again", async || {
        let answer = Request::new("GET", "/").send(server.address).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Bytes that are no HTTP are answered with a 400 or cut off, and the server goes on.
pub async fn garbage_is_cut_off(program: Program) {
    let server = program.start("");
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
        let rest = rest(&mut stream, "the end").await;
        let refused = [&b"HTTP/1.1 4"[..], b"HTTP/1.0 4"];
        let refused = refused.iter().any(|status| rest.starts_with(status));
        assert!(rest.is_empty() || refused, "{}", rest.escape_ascii());
    }
    for request in [
        Request::upgrade("/ws").header("sec-websocket-version", "12"),
        Request::upgrade("/ws").header("sec-websocket-key", ""),
        Request::upgrade("/ws").header("upgrade", "h2c"),
    ] {
        let answer = request.send(server.address).await;
        let refused = [400, 426].contains(&answer.status);
        assert!(refused, "{request:?}: {answer:?}");
    }
    // An upgraded connection that then sends what is no frame is closed, and detached with that.
    let mut stream = connect(server.address).await;
    let request = Request::upgrade("/ws").bytes(server.address);
    for bytes in [&request[..], &[0xff; 64]] {
        succeeds("the bytes leave", stream.write_all(bytes)).await;
    }
    rest(&mut stream, "the end").await;
    server.settles_at(0).await;
}
