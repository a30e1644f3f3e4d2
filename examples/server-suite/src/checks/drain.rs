//! How the server ends: clients are told, what was accepted is delivered, nothing holds it for ever.

use midplane_testkit::child::Signal;
use midplane_testkit::{succeeds, until, within};
use serde_json::json;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::{Arrival, Client};
use crate::fixture::{Program, Server, target};
use crate::http::{Answer, Request, connect};
use crate::{flags, flood};

/// Takes the goodbye of a drain, which must come next and be complete.
async fn goodbye(client: &mut Client) {
    let closing = client.own().await;
    assert_eq!(closing["midplane"], "closing", "{closing}");
    assert_eq!(client.next().await, Arrival::Close(1001));
    assert_eq!(client.next().await, Arrival::End);
}

/// A client that takes nothing, with so much on its way that the server is stuck writing to it.
async fn stuck(server: &Server) -> Client {
    let client = Client::narrow(server, "").await;
    let event = json!("x".repeat(60 * 1024)).to_string();
    // 15 MiB: Linux buffers 4 MiB for a socket at most, and a mailbox holds 1 MiB.
    for _ in 0..256 {
        server.publish(&client.target(), &event).await;
    }
    client
}

/// SIGTERM and SIGINT alike: every client is told and closed with 1001, and the exit code is 0. What
/// is connected and idle holds nothing up.
pub async fn a_signal_drains(program: Program) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = program.start(flags::LONG_DRAIN);
        let silent = connect(server.address).await;
        let mut idle = BufReader::new(connect(server.address).await);
        let request = Request::new("GET", "/healthz").header("connection", "keep-alive");
        let request = request.bytes(server.address);
        succeeds("the request leaves", idle.write_all(&request)).await;
        let answer = within("an answer", Answer::read(&mut idle)).await;
        assert_eq!(answer.status, 200);
        let mut clients = Vec::new();
        for identity in ["", "user=u", "user=u&org=o"] {
            let mut client = Client::connect(&server, identity).await;
            client.create_session("a").await;
            clients.push(client);
        }
        server.signal(signal);
        for client in &mut clients {
            goodbye(client).await;
        }
        server.ends_with(0).await;
        assert!(TcpStream::connect(server.address).await.is_err());
        drop((silent, idle));
    }
}

/// What was accepted before the signal reaches a client that is behind, all of it and in order,
/// before the goodbye.
pub async fn events_accepted_before_a_drain_are_delivered(program: Program) {
    const EVENTS: u64 = 1_500;
    const SIZE: usize = 8 * 1024;
    let mut server = program.start(flags::LARGE_MAILBOX);
    let mut behind = Client::narrow(&server, "user=u").await;
    let mut publisher = Client::connect(&server, "user=u").await;
    let user = target("user", "u");
    flood::publish(&mut publisher, &user, 0..EVENTS, SIZE, Some(1)).await;
    server.signal(Signal::TERM);
    goodbye(&mut publisher).await;
    let (mut next, mut told) = (0, 0);
    loop {
        match flood::take(&mut behind, &mut next).await {
            Arrival::Own(closing) => {
                assert_eq!(closing["midplane"], "closing", "{closing}");
                told += 1;
            }
            end => {
                assert_eq!(end, Arrival::Close(1001), "after {next} events");
                break;
            }
        }
    }
    assert_eq!((next, told), (EVENTS, 1));
    assert_eq!(behind.next().await, Arrival::End);
    server.ends_with(0).await;
}

/// A client that takes nothing cannot hold a drain beyond its deadline. The exit code then says that
/// a client was cut off.
pub async fn a_drain_ends_by_its_deadline(program: Program) {
    let mut server = program.start(flags::SHORT_DRAIN);
    let stuck = stuck(&server).await;
    let mut client = Client::connect(&server, "").await;
    server.signal(Signal::TERM);
    goodbye(&mut client).await;
    server.ends_with(1).await;
    drop(stuck);
}

/// While a drain is held up nobody new is accepted; a second signal ends it at once.
pub async fn a_second_signal_ends_at_once(program: Program) {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        // The deadline is longer than the patience of this suite: only the second signal can end it.
        let mut server = program.start(flags::LONG_DRAIN);
        let stuck = stuck(&server).await;
        let mut client = Client::connect(&server, "").await;
        server.signal(first);
        goodbye(&mut client).await;
        until("new connections are refused", async || {
            TcpStream::connect(server.address).await.err().map(drop)
        })
        .await;
        let ended = server.child.exited().expect("the child is ours");
        assert_eq!(ended, None, "the stuck client holds the drain");
        server.signal(second);
        let status = server.child.exit().await;
        assert!(!status.success(), "{status}");
        drop(stuck);
    }
}
