//! Where nobody reads what the server logs.

use midplane_testkit::child::Signal;

use crate::client::Client;
use crate::fixture::{Program, Server};

/// More clients than a pipe and the queue in front of it have lines for, where each is logged.
const CLIENTS: usize = 4_000;

async fn dropped(server: &Server) -> bool {
    let health = server.get("/healthz", 200).await.json();
    health["log_lines_dropped"].as_u64() > Some(0)
}

/// The server answers, delivers, counts what it could not log, and ends when it is told to.
pub async fn a_log_that_nobody_reads_stops_nothing(program: Program) {
    let (mut server, unread) = program.start_unread("--log debug");
    for number in 0..CLIENTS {
        if number % 100 == 0 && dropped(&server).await {
            break;
        }
        Client::connect(&server, "").await.kill();
    }
    assert!(dropped(&server).await);
    let mut client = Client::connect(&server, "").await;
    server.delivers(&client.target(), "1", 1).await;
    client.got(&["1"]).await;
    server.signal(Signal::TERM);
    server.ends_with(0).await;
    drop(unread);
}
