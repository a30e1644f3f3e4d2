//! A rolling restart: three servers on one broker end and begin anew, one after the other, under clients that come back as
//! `/midplane.js` does and under publishers that go on.
//!
//! Clients are given to servers as a load balancer gives them: each to the ready server with the fewest, by what `/readyz`
//! said a tenth of a second ago at most.

mod balancer;
mod client;
mod judgement;
mod picture;
mod publisher;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use midplane_testkit::child::Signal;
use midplane_testkit::server::ServerKind;
use midplane_testkit::until;
use tokio::time::sleep;

use balancer::Balancer;
use client::ReturningClient;
pub use judgement::{Report, Restart};
use publisher::{Publisher, SERVERS, TOPIC};

use crate::cluster::Programs;

/// The time between two probes of a server.
const PROBE: Duration = Duration::from_millis(100);

/// After so long everything that was accepted has come, or has been told as missed.
const SETTLED: Duration = Duration::from_secs(5);

/// What is restarted under.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many clients there are.
    pub clients: usize,
    /// How many events each server is given in a second.
    pub rate: u32,
    /// Flags of the servers, beside those that make them a cluster.
    pub flags: String,
}

/// Restarts each server once, and judges what the clients got. `say` is told how far the run is.
///
/// # Panics
/// When a server does not start, or ends with an error.
pub async fn run(programs: Programs, settings: &Settings, say: &dyn Fn(&str)) -> Report {
    let broker = tokio::task::spawn_blocking(|| ServerKind::Redis.start()).await;
    let broker = broker.expect("the broker starts");
    let flags = format!("--backplane {} {}", broker.url(), settings.flags);
    let program = |place: usize| programs.in_turn()[place % 2];
    let mut servers: Vec<_> = (0..SERVERS)
        .map(|place| program(place).start(&flags))
        .collect();
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let balancer = Arc::new(Balancer::new(&addresses));
    let probing = tokio::spawn(balancer.clone().probe(PROBE));
    balancer.all_ready().await;

    let clients: Vec<_> = (0..settings.clients)
        .map(|_| Arc::new(ReturningClient::new(balancer.clone())))
        .collect();
    let serving: Vec<_> = clients
        .iter()
        .map(|client| tokio::spawn(client.clone().run()))
        .collect();
    all_in(&clients).await;
    say(&format!("{} clients are in {TOPIC}", clients.len()));
    let publishers: Vec<_> = (0..SERVERS)
        .map(|place| Arc::new(Publisher::new(place, addresses[place])))
        .collect();
    let publishing: Vec<_> = publishers
        .iter()
        .map(|publisher| tokio::spawn(publisher.clone().run(settings.rate)))
        .collect();
    sleep(Duration::from_secs(1)).await;

    let mut restarts = Vec::new();
    for place in 0..SERVERS {
        let (begun, had) = (Instant::now(), balancer.clients(place));
        servers[place].signal(Signal::TERM);
        servers[place].ends_with(0).await;
        let address = addresses[place].to_string();
        servers[place] = program(place).start_at(&address, &flags);
        balancer.all_ready().await;
        all_in(&clients).await;
        let returns = clients.iter().flat_map(|client| client.returns(begun));
        let restart = Restart::new(place, had, returns.collect());
        say(&restart.to_string());
        restarts.push(restart);
        sleep(Duration::from_secs(1)).await;
    }

    publishers.iter().for_each(|publisher| publisher.stop());
    join_all(publishing).await;
    sleep(SETTLED).await;
    for task in serving.into_iter().chain([probing]) {
        task.abort();
    }
    Report::judge(restarts, &clients, &publishers)
}

/// Waits until every client is in the topic.
async fn all_in(clients: &[Arc<ReturningClient>]) {
    until("every client is in the topic", async || {
        clients.iter().all(|client| client.is_in()).then_some(())
    })
    .await;
}
