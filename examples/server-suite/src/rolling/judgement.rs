//! What a rolling restart has cost.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Flow, ReturningClient, Stay};
use super::publisher::{Published, Publisher};

/// The stretch of time over which a peak is taken.
const WINDOW: Duration = Duration::from_secs(1);

/// The restart of one server.
#[derive(Debug, Clone)]
pub struct Restart {
    server: usize,
    had: usize,
    /// When clients were in the topic again, after the first of them.
    pub(super) returns: Vec<Duration>,
}

impl Restart {
    pub(super) fn new(server: usize, had: usize, mut returns: Vec<Instant>) -> Self {
        returns.sort();
        let after_first = returns.iter().map(|at| *at - returns[0]);
        Self {
            server,
            had,
            returns: after_first.collect(),
        }
    }

    /// From the first to the last return.
    fn length(&self) -> Duration {
        self.returns.last().copied().unwrap_or_default()
    }

    /// Returns a second, from the first to the last; over a second at least.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.returns.len() as f64 / self.length().max(WINDOW).as_secs_f64()
    }

    /// The most returns within one second.
    #[must_use]
    pub fn peak(&self) -> usize {
        let within = |from: &Duration| {
            let end = self.returns.partition_point(|at| *at < *from + WINDOW);
            end - self.returns.partition_point(|at| at < from)
        };
        self.returns.iter().map(within).max().unwrap_or_default()
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, peak) = (self.mean(), self.peak());
        write!(
            f,
            "server {}: {} clients, {} came back within {:.1} s: {mean:.0}/s, at most {peak}/s ({:.2} times the mean)",
            self.server + 1,
            self.had,
            self.returns.len(),
            self.length().as_secs_f64(),
            peak as f64 / mean,
        )
    }
}

/// What the clients got.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each server's restart.
    pub restarts: Vec<Restart>,
    clients: usize,
    /// Clients that are not connected in the end.
    pub away: usize,
    accepted: usize,
    /// Events that a client did not get while it was in the topic, and of which it was told nothing.
    pub unsaid: usize,
    /// Events that came twice, or in the wrong order.
    pub disordered: u64,
    told: u64,
}

impl Report {
    pub(super) fn judge(
        restarts: Vec<Restart>,
        clients: &[Arc<ReturningClient>],
        publishers: &[Arc<Publisher>],
    ) -> Self {
        let published: Vec<_> = publishers.iter().map(|one| one.published()).collect();
        let accepted = published.iter().flatten().filter(|one| one.accepted);
        let mut report = Self {
            restarts,
            clients: clients.len(),
            away: clients.iter().filter(|client| !client.is_in()).count(),
            accepted: accepted.count(),
            unsaid: 0,
            disordered: 0,
            told: 0,
        };
        for stay in clients.iter().flat_map(|client| client.stays()) {
            report.told += stay.told;
            for (flow, published) in stay.flows.iter().zip(&published) {
                report.disordered += flow.as_ref().map_or(0, |flow| flow.disordered);
                if stay.told == 0 {
                    report.unsaid += lost(&stay, flow.as_ref(), published);
                }
            }
        }
        report
    }

    /// Whether every client is back, and nothing was lost unsaid, came twice or in another order.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.away == 0 && self.unsaid == 0 && self.disordered == 0 && self.accepted > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for restart in &self.restarts {
            writeln!(f, "{restart}")?;
        }
        let Self {
            clients,
            away,
            accepted,
            unsaid,
            disordered,
            told,
            ..
        } = self;
        writeln!(
            f,
            "{accepted} events accepted, {clients} clients: {away} not back, {unsaid} deliveries lost unsaid, \
             {disordered} twice or out of order, {told} times told of a loss"
        )
    }
}

/// How many events a client had to get of a server while it was in the topic, and did not. What was accepted after the last
/// event that came is owed to a client that is still there; how far a connection that has ended reaches, nobody can say.
fn lost(stay: &Stay, flow: Option<&Flow>, published: &[Published]) -> usize {
    let owed = |number: usize| published[number].accepted && published[number].called > stay.joined;
    let all = published.len();
    let lost = |range: std::ops::Range<usize>| range.filter(|number| owed(*number)).count();
    match flow {
        None if stay.ended => 0,
        None => lost(0..all),
        Some(flow) => {
            let between = flow.missing.iter();
            let between = between.map(|gap| lost(*gap.start() as usize..*gap.end() as usize + 1));
            let after = match stay.ended {
                true => 0,
                false => lost(flow.last as usize + 1..all),
            };
            lost(0..flow.first as usize) + between.sum::<usize>() + after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restart(seconds: &[f64]) -> Restart {
        let start = Instant::now();
        let returns = seconds
            .iter()
            .map(|at| start + Duration::from_secs_f64(*at));
        Restart::new(0, seconds.len(), returns.collect())
    }

    #[test]
    fn the_peak_is_the_fullest_second_wherever_it_begins() {
        let restart = restart(&[4.0, 0.0, 1.9, 2.0, 2.5, 2.8, 3.9]);
        assert_eq!(restart.peak(), 4);
        assert!((restart.mean() - 7.0 / 4.0).abs() < 1e-9);
    }

    /// Ten events, of which that of number 4 was refused, called a second apart; joined before the third.
    fn lost_of(ended: bool, flow: Option<&Flow>) -> usize {
        let start = Instant::now();
        let second = |number: u64| start + Duration::from_secs(number);
        let published = (0..10).map(|number| Published {
            called: second(number),
            accepted: number != 4,
        });
        let stay = Stay {
            joined: start + Duration::from_millis(2500),
            ended,
            flows: Default::default(),
            told: 0,
        };
        lost(&stay, flow, &published.collect::<Vec<_>>())
    }

    fn flow(first: u64, last: u64, missing: &[std::ops::RangeInclusive<u64>]) -> Flow {
        Flow {
            first,
            last,
            missing: missing.to_vec(),
            disordered: 0,
        }
    }

    #[test]
    fn what_a_client_was_owed_and_did_not_get_is_counted() {
        assert_eq!(lost_of(false, Some(&flow(3, 9, &[]))), 0);
        assert_eq!(lost_of(false, Some(&flow(3, 9, &[4..=4]))), 0, "refused");
        assert_eq!(lost_of(false, Some(&flow(3, 9, &[4..=6]))), 2);
        assert_eq!(
            lost_of(false, Some(&flow(5, 9, &[]))),
            1,
            "before the first"
        );
        assert_eq!(lost_of(false, Some(&flow(3, 7, &[]))), 2, "after the last");
        assert_eq!(lost_of(true, Some(&flow(3, 7, &[]))), 0, "gone by then");
        assert_eq!(lost_of(false, None), 6);
        assert_eq!(lost_of(true, None), 0);
    }
}
