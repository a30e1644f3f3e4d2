//! An axum application with WebSocket, SSE, publish and readiness, from its start to its clients' last words.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use futures::channel::oneshot;
use futures::{SinkExt, StreamExt};
use midplane::{Plane, Target};
use midplane_axum::{Client, Close};
use midplane_testkit::{eventually, succeeds, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

#[derive(Clone)]
struct App {
    plane: Plane,
    /// The requests that the application's own protocol carried out.
    done: Arc<AtomicUsize>,
}

impl axum::extract::FromRef<App> for Plane {
    fn from_ref(app: &App) -> Self {
        app.plane.clone()
    }
}

async fn socket(
    State(plane): State<Plane>,
    Path(topic): Path<String>,
    up: WebSocketUpgrade,
) -> Response {
    midplane_axum::ws(up, &plane)
        .associate(Target::topic(topic))
        .serve()
}

async fn events(State(plane): State<Plane>, Path(topic): Path<String>) -> Response {
    let first = { async { "snapshot" } };
    midplane_axum::sse(&plane)
        .associate(Target::topic(topic))
        .first(first)
        .serve()
        .await
}

async fn publish(
    State(plane): State<Plane>,
    Path(topic): Path<String>,
    text: String,
) -> midplane_axum::Result<String> {
    let receipt = plane.try_publish(Target::topic(topic), text)?;
    Ok(receipt.accepted().to_string())
}

/// Words of the application's own, and the time to come back if it has one for that.
async fn foreign(
    State(plane): State<Plane>,
    Path(hinted): Path<bool>,
    up: WebSocketUpgrade,
) -> Response {
    use axum::extract::ws::Message;
    let ws = midplane_axum::ws(up, &plane).encode(|_| Some(Message::Text("own".into())));
    match hinted {
        true => ws.hint(|after| Some(Message::Text(format!("in {after:?}").into()))),
        false => ws,
    }
    .serve()
}

/// Counts what it is asked, answers, joins rooms that it is told of, and ends at the word `end`.
async fn own(State(app): State<App>, up: WebSocketUpgrade) -> Response {
    midplane_axum::ws(up, &app.plane).serve_with(move |mut client: Client| async move {
        client.send("hello");
        while let Some(text) = client.text().await? {
            match text.split_once(' ') {
                Some(("join", room)) => drop(client.associate(Target::topic(room)).await?),
                _ if text.as_str() == "end" => return Err(Close::new(4_444, "as asked")),
                _ => {}
            }
            app.done.fetch_add(1, Ordering::SeqCst);
            client.send(text.as_str());
        }
        Ok(())
    })
}

struct Running {
    address: SocketAddr,
    plane: Plane,
    done: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<midplane::Closed>>,
}

async fn start() -> Running {
    start_with(Duration::from_secs(10)).await
}

async fn start_with(deadline: Duration) -> Running {
    let plane = Plane::local();
    let done = Arc::new(AtomicUsize::new(0));
    let app = App {
        plane: plane.clone(),
        done: done.clone(),
    };
    let router = Router::new()
        .route("/ws/{topic}", get(socket))
        .route("/sse/{topic}", get(events))
        .route("/publish/{topic}", post(publish))
        .route("/own", get(own))
        .route("/foreign/{hinted}", get(foreign))
        .route("/readyz", get(midplane_axum::readyz))
        .with_state(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = midplane_axum::serve(listener, router, plane.clone()).deadline(deadline);
    let serve = serve.until(async {
        let _ = stopped.await;
    });
    Running {
        address,
        plane,
        done,
        stop,
        served: tokio::spawn(serve.into_future()),
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn open(address: SocketAddr, path: &str) -> Socket {
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}{path}");
    let builder = ClientBuilder::new().uri(&url).unwrap();
    succeeds("the upgrade", builder.connect_on(stream)).await.0
}

async fn text(socket: &mut Socket) -> String {
    let message = within("a message", socket.next()).await.unwrap().unwrap();
    message.as_text().expect("a text").to_owned()
}

async fn close_code(socket: &mut Socket) -> u16 {
    let message = within("the close", socket.next()).await.unwrap().unwrap();
    let (code, _) = message.as_close().expect("a close");
    code.into()
}

/// The head of an answer, and what follows as it comes.
async fn request(address: SocketAddr, request: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = within("a head", reader.read_line(&mut head)).await.unwrap();
        assert!(read > 0, "{head}");
    }
    (head, reader)
}

async fn status(address: SocketAddr, head: &str) -> String {
    let (head, _) = request(address, head).await;
    head.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_gets_the_last_event_and_then_the_reason() {
    let app = start().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(open(app.address, "/ws/news").await);
    }
    let (head, mut stream) =
        request(app.address, "GET /sse/news HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(head.contains("text/event-stream"), "{head}");
    let topic = Target::topic("news").unwrap();
    let everyone = || async {
        app.plane
            .count(&topic, Duration::ZERO)
            .await
            .unwrap()
            .connections()
    };
    assert_eq!(everyone().await, 21);
    let published = "POST /publish/news HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nnow";
    assert_eq!(status(app.address, published).await, "200");
    assert_eq!(
        status(app.address, "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n").await,
        "200"
    );

    let before = Instant::now();
    assert_eq!(app.plane.publish(&topic, "last").accepted(), 21);
    app.stop.send(()).unwrap();
    let mut hints = BTreeSet::new();
    for socket in &mut sockets {
        assert_eq!(text(socket).await, "now");
        assert_eq!(text(socket).await, "last");
        hints.insert(text(socket).await);
        assert_eq!(close_code(socket).await, Close::RESTART);
    }
    // Each is told to come back at a time of its own.
    assert!(hints.len() > 10, "{hints:?}");
    let hint = |text: &String| {
        let (_, millis) = text.split_once(r#""return_after_ms":"#)?;
        millis.strip_suffix('}')?.parse::<u64>().ok()
    };
    for text in &hints {
        assert!(
            text.starts_with(r#"{"midplane":"closing","reason":"#),
            "{text}"
        );
        let millis = hint(text).expect("a time");
        assert!((1_000..=2_000).contains(&millis), "{text}");
    }
    drop(sockets);
    let mut body = String::new();
    within("the body", stream.read_to_string(&mut body))
        .await
        .unwrap();
    let blocks: Vec<_> = body
        .split("\r\n")
        .filter(|line| !line.trim().is_empty())
        .collect();
    let texts = ["data: snapshot", "data: now", "data: last", "retry: "];
    for expected in texts {
        assert!(body.contains(expected), "{blocks:?}");
    }
    let closed = within("the end", app.served).await.unwrap().unwrap();
    assert_eq!(closed.unsent, 0);
    // No client was waited for longer than it took.
    assert!(
        before.elapsed() < Duration::from_secs(8),
        "{:?}",
        before.elapsed()
    );
}

/// Nobody is waited for who takes nothing, whatever the deadline is: neither behind a stream nor behind a WebSocket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_does_not_make_the_end_last() {
    let app = start_with(Duration::from_secs(60)).await;
    let socket = open(app.address, "/ws/news").await;
    let stream = request(app.address, "GET /sse/news HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let topic = Target::topic("news").unwrap();
    // 100 events, 5 ms apart: more than the system takes for a client that does not read.
    let event = midplane::Event::text("x".repeat(900 << 10));
    let mut published = 0;
    eventually("all is published", || {
        published += app.plane.publish(&topic, event.clone()).accepted();
        published == 200
    })
    .await;
    app.stop.send(()).unwrap();
    within("the end", app.served).await.unwrap().unwrap();
    drop((socket, stream));
}

/// What the client sent before its close, or before it was gone, is carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sent_before_its_end_is_carried_out() {
    const REQUESTS: usize = 50;
    for close in [true, false] {
        let app = start().await;
        let mut socket = open(app.address, "/own").await;
        assert_eq!(text(&mut socket).await, "hello");
        for number in 0..REQUESTS {
            socket
                .feed(Message::text(number.to_string()))
                .await
                .unwrap();
        }
        socket.flush().await.unwrap();
        if close {
            socket.close().await.unwrap();
        }
        drop(socket);
        eventually("all is carried out", || {
            app.done.load(Ordering::SeqCst) == REQUESTS
        })
        .await;
        app.stop.send(()).unwrap();
        within("the end", app.served).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_its_own_protocol_joins_answers_and_closes() {
    let app = start().await;
    let mut socket = open(app.address, "/own").await;
    assert_eq!(text(&mut socket).await, "hello");
    socket.send(Message::text("join news")).await.unwrap();
    assert_eq!(text(&mut socket).await, "join news");
    let topic = Target::topic("news").unwrap();
    assert_eq!(app.plane.publish(&topic, "it turns").accepted(), 1);
    assert_eq!(text(&mut socket).await, "it turns");
    // An id that is none closes with a code that says whose fault it is.
    let long = format!("join {}", "x".repeat(300));
    let mut other = open(app.address, "/own").await;
    assert_eq!(text(&mut other).await, "hello");
    other.send(Message::text(long)).await.unwrap();
    assert_eq!(close_code(&mut other).await, Close::POLICY);
    socket.send(Message::text("end")).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 4_444);
    drop((socket, other));
    app.stop.send(()).unwrap();
    within("the end", app.served).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_target_is_answered_and_readiness_goes_first() {
    let app = start().await;
    let long = "x".repeat(300);
    let upgrade = "host: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let socket = format!("GET /ws/{long} HTTP/1.1\r\n{upgrade}");
    assert_eq!(status(app.address, &socket).await, "400");
    let events = format!("GET /sse/{long} HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(status(app.address, &events).await, "400");
    app.plane.unready();
    assert_eq!(
        status(app.address, "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n").await,
        "503"
    );
    app.stop.send(()).unwrap();
    within("the end", app.served).await.unwrap().unwrap();
}

/// Who has messages of its own gets none of ours, and a hint by what makes one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_is_in_the_words_of_the_application() {
    let app = start().await;
    let mut plain = open(app.address, "/foreign/false").await;
    let mut hinted = open(app.address, "/foreign/true").await;
    app.stop.send(()).unwrap();
    assert_eq!(close_code(&mut plain).await, Close::RESTART);
    let hint = text(&mut hinted).await;
    assert!(hint.starts_with("in 1."), "{hint}");
    assert_eq!(close_code(&mut hinted).await, Close::RESTART);
    drop((plain, hinted));
    within("the end", app.served).await.unwrap().unwrap();
}
