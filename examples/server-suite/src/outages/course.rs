//! Courses: faults that one cluster goes through, one after the other.

use std::time::{Duration, Instant, SystemTime};

use midplane_testkit::server::ServerKind;
use tokio::time::sleep;

use super::Settings;
use super::cluster::OutageCluster;
use super::evidence::Evidence;
use super::fault::Outage;
use super::judgement::{FaultSpan, Judgement, Promise};
use super::publisher::Publication;
use super::table::Table;
use crate::cluster::Programs;

/// For how long publishers go on before a fault, and after it once all servers are ready.
const LEAD: Duration = Duration::from_secs(1);

/// What is to come has come when nothing has come for this time: more than three heartbeats.
const QUIET: Duration = Duration::from_secs(8);

/// How long the whole of a fault may take to be seen once publishers rest.
const SETTLES: Duration = Duration::from_secs(60);

const GLANCE: Duration = Duration::from_millis(100);

/// Faults that one cluster goes through.
#[derive(Debug, Clone)]
pub(super) struct Course {
    pub(super) name: &'static str,
    /// The flags of the servers.
    pub(super) flags: &'static str,
    /// Whether each server reaches the broker through a proxy.
    pub(super) proxied: bool,
    pub(super) faults: Vec<Outage>,
    /// Until when a client may be told, once publishers rest.
    pub(super) tells: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every fault.
pub(super) fn all() -> Vec<Course> {
    let aways = [1, 3, 10, 20].map(|away| Outage::Restart(seconds(away)));
    let restarts = aways.iter().cycle().take(20).copied().collect();
    let course = |name, flags, proxied, faults, tells| Course {
        name,
        flags,
        proxied,
        faults,
        tells: seconds(tells),
    };
    // A time to live that is short, so that what is beyond it is soon.
    let short = "--heartbeat 500ms --time-to-live 5s";
    let links = vec![
        Outage::SubscriptionsKilled,
        Outage::LinksKilled,
        Outage::LinksKilledAgain,
        Outage::AllCut,
        Outage::OneCut(seconds(3)),
        Outage::OneCut(seconds(12)),
        Outage::HalfOpen(seconds(8)),
        Outage::ServerStopped(seconds(3)),
        Outage::BrokerStopped(seconds(3)),
    ];
    // What was published as it stopped is as old as that when the broker goes on.
    let long = "--time-to-live 60s";
    let stopped = vec![Outage::BrokerStopped(seconds(30))];
    let window = vec![Outage::BeyondWindow(seconds(10))];
    let unsubscribed = [false, true].map(|one_lane| Outage::Unsubscribed { one_lane });
    // A lane that brings nothing is taken for deaf after eight heartbeats, for it may be slow. The time to live is as many
    // heartbeats as without a flag, so that there is time left to repair what it did not bring.
    let as_many = "--heartbeat 500ms --time-to-live 7500ms";
    let far = vec![Outage::FarStart(Duration::from_millis(150))];
    vec![
        course("restarts", "", false, restarts, 0),
        course("links", "", true, links, 0),
        course("stop", long, false, stopped, 0),
        course("window", short, false, window, 10),
        course("origin", short, true, vec![Outage::OriginKilled], 10),
        course("unsubscribed", as_many, true, unsubscribed.to_vec(), 10),
        course("deaf", short, true, vec![Outage::DeafToKilled], 10),
        course("far", short, true, far, 10),
    ]
}

/// The faults that are soon seen.
pub(super) fn short() -> Vec<Course> {
    let whole = vec![
        Outage::Restart(seconds(1)),
        Outage::Restart(seconds(3)),
        Outage::LinksKilled,
        Outage::OneCut(seconds(2)),
        Outage::ServerStopped(seconds(3)),
    ];
    let course = |name, flags, proxied, faults, tells| Course {
        name,
        flags,
        proxied,
        faults,
        tells: seconds(tells),
    };
    let short = "--heartbeat 500ms --time-to-live 3s";
    let window = vec![Outage::BeyondWindow(seconds(6))];
    vec![
        course("whole", "--heartbeat 1s", true, whole, 0),
        course("window", short, false, window, 5),
        course("origin", short, true, vec![Outage::OriginKilled], 5),
    ]
}

impl Course {
    /// Runs the course on one kind of broker.
    pub(super) async fn run(
        self,
        programs: Programs,
        kind: ServerKind,
        settings: &Settings,
        say: &(dyn Fn(&str) + Sync),
    ) -> Table {
        let mut table = Table::default();
        let (now, epoch) = (Instant::now(), SystemTime::now());
        let mut cluster =
            OutageCluster::start(programs, kind, self.flags, self.proxied, settings.rate).await;
        let mut evidence = Evidence::new(now, epoch);
        for fault in &self.faults {
            let starts: Vec<_> = cluster.publishers.iter().map(|one| one.count()).collect();
            let began = Instant::now();
            cluster.resume();
            sleep(LEAD).await;
            let injected = Instant::now();
            let healed = fault.inject(&mut cluster).await;
            let ready = cluster.ready(healed).await;
            sleep(LEAD).await;
            cluster.rest().await;
            let span = FaultSpan {
                began,
                injected,
                healed,
                killed: cluster.killed,
                beyond_window: matches!(fault, Outage::BeyondWindow(_)),
            };
            let mut judgement = self.settle(&cluster, span, &starts, fault.promise()).await;
            judgement.ready = ready;
            let faults = judgement.faults(fault.promise());
            say(&format!(
                "{kind:?}: {fault}: {} accepted, {} of {} lost, {} told: {}",
                judgement.accepted,
                judgement.lost,
                judgement.owed,
                judgement.told,
                match faults.is_empty() {
                    true => "holds".to_owned(),
                    false => faults.join(", "),
                }
            ));
            if settings.logs.is_some() {
                let publications = publications(&cluster, &starts);
                let what = format!("{fault}: {}", faults.join(", "));
                evidence.add(&what, span, &publications, &cluster);
            }
            table.add(kind, *fault, judgement);
        }
        if let Some(directory) = &settings.logs {
            let name = format!("{kind:?}-{}", self.name).to_lowercase();
            evidence.write(directory, &name, &cluster).await;
        }
        // Killing what is stopped or busy takes its time.
        let _ = tokio::task::spawn_blocking(move || drop(cluster)).await;
        table
    }

    /// Waits until everything came that comes, and judges.
    async fn settle(
        &self,
        cluster: &OutageCluster,
        span: FaultSpan,
        starts: &[usize],
        promise: Promise,
    ) -> Judgement {
        let rests = Instant::now();
        let publications = publications(cluster, starts);
        let judge = || Judgement::of(span, &publications, &cluster.clients, &cluster.topics);
        loop {
            let judgement = judge();
            let latest = cluster.clients.iter().filter_map(|client| client.latest());
            let latest = latest.max().unwrap_or(rests).max(rests);
            // A client may be told late, of what was its own and of what was not.
            let done = match promise {
                Promise::Whole => judgement.lost == 0 || latest.elapsed() > QUIET,
                _ => rests.elapsed() > self.tells && latest.elapsed() > QUIET / 4,
            };
            if done || rests.elapsed() > SETTLES {
                return judgement;
            }
            sleep(GLANCE).await;
        }
    }
}

/// What was published from these places of the publishers' records on.
fn publications(cluster: &OutageCluster, starts: &[usize]) -> Vec<Publication> {
    let each = cluster.publishers.iter().zip(starts);
    each.flat_map(|(publisher, start)| publisher.publications(*start))
        .collect()
}
