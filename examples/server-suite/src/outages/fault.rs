//! The faults, and how each is injected.

use std::fmt;
use std::time::{Duration, Instant};

use midplane_testkit::child::Signal;
use midplane_testkit::proxy::Way;
use midplane_testkit::server::ServerKind;
use tokio::time::sleep;

use super::cluster::OutageCluster;
use super::judgement::Promise;

/// What a fault that has an end leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outage {
    /// The broker is killed, and started again after this time.
    Restart(Duration),
    /// The connections that are subscribed are ended by the broker.
    SubscriptionsKilled,
    /// All connections are ended by the broker.
    LinksKilled,
    /// All connections are ended by the broker, ten times within 3 s.
    LinksKilledAgain,
    /// All connections of all servers are reset.
    AllCut,
    /// The connections of one server are reset, and it gets none for this time.
    OneCut(Duration),
    /// What the broker sends to one server is held up for this time.
    HalfOpen(Duration),
    /// The broker stands still for this time.
    BrokerStopped(Duration),
    /// One server stands still for this time.
    ServerStopped(Duration),
    /// The broker is away for this time, in which the events that wait for it expire.
    BeyondWindow(Duration),
    /// One server is cut off, another goes on publishing for 3 s and is killed, and the first comes back.
    OriginKilled,
    /// One server's subscriptions are gone and it is not told: all of them, or that of one lane alone.
    Unsubscribed {
        /// Whether that of one lane alone.
        one_lane: bool,
    },
    /// One server's subscriptions are gone and it is not told, and another that goes on publishing is killed before that is
    /// seen.
    DeafToKilled,
    /// A fourth server starts, this far from the broker one way, and clients join at once.
    FarStart(Duration),
}

impl Outage {
    pub(super) fn promise(self) -> Promise {
        match self {
            Self::BeyondWindow(_) | Self::OriginKilled | Self::DeafToKilled => {
                Promise::MissedAndTold
            }
            Self::FarStart(_) => Promise::Told,
            _ => Promise::Whole,
        }
    }

    /// Whether this kind of broker has the fault.
    pub(super) fn exists_on(self, kind: ServerKind) -> bool {
        match self {
            Self::SubscriptionsKilled => kind.speaks_redis(),
            Self::LinksKilled | Self::LinksKilledAgain => kind != ServerKind::Nats,
            _ => true,
        }
    }

    /// Injects the fault and heals it; the answer is when it was healed.
    pub(super) async fn inject(self, cluster: &mut OutageCluster) -> Instant {
        match self {
            Self::Restart(away) | Self::BeyondWindow(away) => {
                cluster.broker_does(|broker| broker.kill()).await;
                sleep(away).await;
                cluster.broker_does(|broker| broker.restart()).await;
            }
            Self::SubscriptionsKilled => drop(cluster.kill_links(true).await),
            Self::LinksKilled => drop(cluster.kill_links(false).await),
            Self::LinksKilledAgain => {
                for _ in 0..10 {
                    cluster.kill_links(false).await;
                    sleep(Duration::from_millis(300)).await;
                }
            }
            Self::AllCut => cluster.proxies.iter().for_each(|proxy| proxy.reset()),
            Self::OneCut(time) => {
                cluster.proxies[0].refuse();
                sleep(time).await;
                cluster.proxies[0].accept();
            }
            Self::HalfOpen(time) => {
                cluster.proxies[0].hold(Way::ToClient);
                sleep(time).await;
                cluster.proxies[0].pass(Way::ToClient);
            }
            Self::BrokerStopped(time) => {
                cluster.broker_does(|broker| broker.stop()).await;
                sleep(time).await;
                cluster.broker_does(|broker| broker.thaw()).await;
            }
            Self::ServerStopped(time) => {
                cluster.servers[0].signal(Signal::STOP);
                sleep(time).await;
                cluster.servers[0].signal(Signal::CONT);
            }
            Self::OriginKilled => kill_origin(cluster).await,
            Self::Unsubscribed { one_lane } => unsubscribe(cluster, one_lane).await,
            Self::DeafToKilled => {
                unsubscribe(cluster, false).await;
                // Less than a heartbeat: it is not seen yet.
                sleep(Duration::from_millis(300)).await;
                cluster.kill_server(0);
            }
            Self::FarStart(latency) => {
                cluster.add_server(latency).await;
                cluster.add_clients(cluster.servers.len() - 1).await;
            }
        }
        Instant::now()
    }
}

async fn kill_origin(cluster: &mut OutageCluster) {
    const ORIGIN: usize = 0;
    const AWAY: usize = 2;
    cluster.proxies[AWAY].refuse();
    sleep(Duration::from_secs(3)).await;
    // What the other server gets is all there was.
    cluster.rest_at(ORIGIN).await;
    sleep(Duration::from_millis(500)).await;
    cluster.kill_server(ORIGIN);
    sleep(Duration::from_millis(500)).await;
    cluster.proxies[AWAY].accept();
}

async fn unsubscribe(cluster: &mut OutageCluster, one_lane: bool) {
    const DEAF: usize = 1;
    // An answer to one of its own requests is not to be swallowed.
    cluster.rest_at(DEAF).await;
    let lane = one_lane.then(|| cluster.lane(1));
    let injection = cluster.proxies[DEAF].inject(|said| unsubscription(cluster.kind, said, lane));
    assert_eq!(injection.connections(), 1, "one connection is subscribed");
    sleep(Duration::from_millis(50)).await;
    injection.end();
    cluster.resume();
}

/// The request that ends the subscription of one lane, or of all, if the connection of which this was `said` has any.
fn unsubscription(kind: ServerKind, said: &[u8], lane: Option<u32>) -> Option<Vec<u8>> {
    let said = String::from_utf8_lossy(said);
    match kind {
        ServerKind::Redis | ServerKind::Valkey => {
            let subscribed = said.contains("\nSUBSCRIBE\r");
            let channel = lane.map(|lane| format!("midplane:{lane}"));
            let mut request = format!("*{}\r\n$11\r\nUNSUBSCRIBE\r\n", 1 + channel.iter().len());
            if let Some(channel) = channel {
                request += &format!("${}\r\n{channel}\r\n", channel.len());
            }
            subscribed.then(|| request.into_bytes())
        }
        ServerKind::Nats => {
            // SUB, the subject, and the number of the subscription.
            let lines = said.lines().filter_map(|line| line.strip_prefix("SUB "));
            let lines = lines.filter_map(|line| line.trim().split_once(' '));
            // A link's second connection has a subscription too, which is none of a lane.
            let lane_of = |subject: &str| subject.strip_prefix("midplane.")?.parse().ok();
            let lines = lines.filter(|(subject, _)| {
                lane_of(subject).is_some_and(|found: u32| lane.is_none_or(|lane| lane == found))
            });
            let request: String = lines.map(|(_, id)| format!("UNSUB {id}\r\n")).collect();
            (!request.is_empty()).then(|| request.into_bytes())
        }
        ServerKind::Postgres => {
            let statement = match lane {
                Some(lane) => format!("UNLISTEN \"midplane_{lane}\"\0"),
                None => "UNLISTEN *\0".to_owned(),
            };
            let mut request = vec![b'Q'];
            request.extend((statement.len() as u32 + 4).to_be_bytes());
            request.extend(statement.as_bytes());
            said.contains("LISTEN").then_some(request)
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart(time) => write!(f, "restart, {time:?} away"),
            Self::SubscriptionsKilled => f.write_str("subscriptions killed"),
            Self::LinksKilled => f.write_str("links killed"),
            Self::LinksKilledAgain => f.write_str("links killed ten times"),
            Self::AllCut => f.write_str("all links cut"),
            Self::OneCut(time) => write!(f, "one server cut off {time:?}"),
            Self::HalfOpen(time) => write!(f, "one link half-open {time:?}"),
            Self::BrokerStopped(time) => write!(f, "broker stopped {time:?}"),
            Self::ServerStopped(time) => write!(f, "server stopped {time:?}"),
            Self::BeyondWindow(time) => write!(f, "beyond the window, {time:?}"),
            Self::OriginKilled => f.write_str("origin killed"),
            Self::Unsubscribed { one_lane: false } => f.write_str("unsubscribed in silence"),
            Self::Unsubscribed { one_lane: true } => f.write_str("unsubscribed, one lane"),
            Self::DeafToKilled => f.write_str("unsubscribed, origin killed"),
            Self::FarStart(time) => write!(f, "far start, {time:?}"),
        }
    }
}
