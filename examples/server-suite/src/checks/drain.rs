//! How the server ends: clients are told, what was accepted is delivered, nothing holds it for ever.

use std::time::{Duration, Instant};

use futures::future::join_all;
use midplane_testkit::child::Signal;
use midplane_testkit::{succeeds, until, within};
use serde_json::json;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::{Arrival, Client};
use crate::fixture::{Program, Server, target};
use crate::http::{Answer, Request, connect};
use crate::{flags, flood};

/// Takes the goodbye of a drain, which must come next and be complete, and gives the time after which the client is to
/// come back, in milliseconds.
async fn goodbye(client: &mut Client) -> u64 {
    let closing = client.own().await;
    assert_eq!(closing["midplane"], "closing", "{closing}");
    assert_eq!(client.next().await, Arrival::Close(1012));
    assert_eq!(client.next().await, Arrival::End);
    let hint = closing["return_after_ms"].as_u64();
    hint.unwrap_or_else(|| panic!("{closing} has no hint"))
}

/// Readiness goes first. Until the delay is over the server takes newcomers, and all goes on as before; what a load
/// balancer has not learnt yet fails for nobody.
pub async fn readiness_goes_before_anything_else(program: Program) {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut server = program.start(flags::LONG_DELAY);
        let mut client = Client::connect(&server, "user=u").await;
        server.get("/readyz", 200).await;
        server.signal(signal);
        until("readiness is gone", async || {
            let status = Request::new("GET", "/readyz").send(server.address).await;
            (status.status == 503).then_some(())
        })
        .await;
        let ready = server.get("/readyz", 503).await.json();
        assert_eq!(ready["status"], "draining", "{ready}");
        let mut late = Client::connect(&server, "user=u").await;
        server.delivers(&target("user", "u"), "1", 2).await;
        client.got(&["1"]).await;
        late.got(&["1"]).await;
        // A second signal waits for nothing.
        server.signal(signal);
        let status = server.child.exit().await;
        assert!(!status.success(), "{status}");
    }
}

/// A person at a terminal waits for no load balancer.
pub async fn an_interrupt_drains_without_the_delay(program: Program) {
    let mut server = program.start(flags::LONG_DELAY);
    let mut client = Client::connect(&server, "").await;
    server.signal(Signal::INT);
    goodbye(&mut client).await;
    server.ends_with(0).await;
}

/// Signals that ask for nothing that the server could do end nothing.
pub async fn other_signals_end_nothing(program: Program) {
    let (server, [mut client]) = program.start_with("", [""]).await;
    for (signal, name) in [
        (Signal::HUP, "SIGHUP"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, ""),
    ] {
        server.signal(signal);
        until(format!("{name} is logged"), async || {
            server.child.log().contains(name).then_some(())
        })
        .await;
        server.delivers(&client.target(), "1", 1).await;
        client.got(&["1"]).await;
    }
}

/// Clients are closed one after the other, and told to come back at times of their own, so that those of one server do not
/// come to the others in one instant.
pub async fn clients_are_closed_one_after_the_other(program: Program) {
    const CLIENTS: usize = 400;
    let mut server = program.start("--drain-delay 10ms --drain-timeout 10m");
    let clients = join_all((0..CLIENTS).map(|_| Client::connect(&server, ""))).await;
    server.signal(Signal::TERM);
    let goodbyes = clients.into_iter().map(async |mut client| {
        let hint = goodbye(&mut client).await;
        (hint, Instant::now())
    });
    let (mut hints, mut times): (Vec<_>, Vec<_>) = join_all(goodbyes).await.into_iter().unzip();
    server.ends_with(0).await;
    assert!(
        hints.iter().all(|hint| (1_000..=2_000).contains(hint)),
        "{hints:?}"
    );
    hints.sort_unstable();
    hints.dedup();
    assert!(hints.len() > CLIENTS / 2, "{hints:?}");
    // 5 ms for each: half of that at the least.
    times.sort_unstable();
    let spread = times[CLIENTS - 1] - times[0];
    assert!(spread >= Duration::from_secs(1), "{spread:?}");
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

/// SIGTERM and SIGINT alike: every client is told and closed with 1012, and the exit code is 0. What
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
                assert_eq!(end, Arrival::Close(1012), "after {next} events");
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
