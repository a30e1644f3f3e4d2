//! What the journals of one run say.

use std::sync::Arc;

use benches::Quantiles;
use midplane::node::NodeCounters;

use super::journal::{Arrival, Journal, Published};
use super::outage::home;

/// The time between two points of a curve, in microseconds.
const STEP: u32 = 200_000;

/// When a run began, when something was away and reachable again, and when publishing ended, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Phases {
    pub(super) begin: u32,
    pub(super) down: u32,
    pub(super) up: u32,
    pub(super) end: u32,
}

/// The outcome of one run.
pub(super) struct Outcome {
    /// Events that were published, and those of them whose receipts said that they are not relayed.
    pub(super) published: usize,
    pub(super) refused: usize,
    /// Seconds from when all was reachable until every node had what was accepted before; NaN if one never had.
    pub(super) whole: f64,
    /// Events that were accepted and did not arrive, that arrived twice, and that arrived out of order, counted at each
    /// node.
    pub(super) lost: usize,
    pub(super) twice: usize,
    pub(super) disordered: usize,
    /// What the nodes asked for and sent again.
    pub(super) asks: u64,
    pub(super) repairs: u64,
    pub(super) repaired: u64,
    /// The p50 and p99 from publishing to arrival in milliseconds, at the nodes that nothing was away from: before the
    /// outage, and from its end until all was whole.
    pub(super) before: [f64; 2],
    pub(super) during: [f64; 2],
    /// Over the seconds, what was published, and what had arrived at each node.
    pub(super) curves: Vec<Vec<(f64, f64)>>,
}

/// What one node received.
#[derive(Debug, Default)]
struct Received {
    lost: usize,
    twice: usize,
    disordered: usize,
    /// When the last event arrived that was published before all was reachable again.
    whole: u32,
}

impl Outcome {
    /// Reads the journals of the nodes, of which the first `others` are not away.
    pub(super) fn new(
        published: &[Vec<Published>],
        journals: &[Arc<Journal>],
        phases: Phases,
        others: usize,
        counters: &[NodeCounters],
    ) -> Self {
        let events = || published.iter().flatten();
        let measured = || events().filter(|event| event.at >= phases.begin);
        let nodes: Vec<Received> = journals
            .iter()
            .map(|journal| journal.with(|arrivals| Received::new(published, arrivals, phases)))
            .collect();
        let sum = |of: fn(&Received) -> usize| nodes.iter().map(of).sum();
        let lost = sum(|node| node.lost);
        let whole = nodes.iter().map(|node| node.whole).max().unwrap_or(0);
        let latency = |from: u32, until: u32| {
            let mut all = Vec::new();
            for (node, journal) in journals.iter().enumerate().take(others) {
                journal.with(|arrivals| {
                    let far = arrivals
                        .iter()
                        .filter(|arrival| home(arrival.publisher) != node)
                        .filter(|arrival| (from..until).contains(&arrival.at));
                    all.extend(far.map(|arrival| {
                        let sent = published[arrival.publisher][arrival.number].at;
                        f64::from(arrival.at.saturating_sub(sent)) / 1e3
                    }));
                });
            }
            match all.is_empty() {
                true => [f64::NAN; 2],
                false => {
                    let all = Quantiles::new(all);
                    [all.at(0.5), all.at(0.99)]
                }
            }
        };
        let count = |of: fn(&NodeCounters) -> u64| counters.iter().map(of).sum();
        Self {
            published: measured().count(),
            refused: measured().filter(|event| !event.accepted).count(),
            whole: match lost {
                0 => f64::from(whole.saturating_sub(phases.up)) / 1e6,
                _ => f64::NAN,
            },
            lost,
            twice: sum(|node| node.twice),
            disordered: sum(|node| node.disordered),
            asks: count(|counters| counters.asks),
            repairs: count(|counters| counters.repairs),
            repaired: count(|counters| counters.repaired),
            before: latency(phases.begin, phases.down),
            during: latency(phases.up, whole.max(phases.up + STEP)),
            curves: {
                let sent = measured().filter(|event| event.accepted);
                let sent = curve(sent.map(|event| event.at).collect(), phases);
                let nodes = journals.iter().map(|journal| {
                    let at = journal.with(|arrivals| firsts(published, arrivals, phases));
                    curve(at, phases)
                });
                std::iter::once(sent).chain(nodes).collect()
            },
        }
    }
}

impl Received {
    fn new(published: &[Vec<Published>], arrivals: &[Arrival], phases: Phases) -> Self {
        let mut received = Self::default();
        let mut seen: Vec<Vec<bool>> = published
            .iter()
            .map(|events| vec![false; events.len()])
            .collect();
        let mut next = vec![0; published.len()];
        for arrival in arrivals {
            let (publisher, number) = (arrival.publisher, arrival.number);
            received.twice += usize::from(seen[publisher][number]);
            received.disordered +=
                usize::from(!seen[publisher][number] && number < next[publisher]);
            seen[publisher][number] = true;
            next[publisher] = next[publisher].max(number + 1);
            let event = published[publisher][number];
            if event.accepted && event.at < phases.up {
                received.whole = received.whole.max(arrival.at);
            }
        }
        let missing = published.iter().flatten().zip(seen.iter().flatten());
        let missing = missing.filter(|(event, seen)| event.accepted && !**seen);
        received.lost = missing.count();
        received
    }
}

/// When each accepted event arrived first.
fn firsts(published: &[Vec<Published>], arrivals: &[Arrival], phases: Phases) -> Vec<u32> {
    let mut seen: Vec<Vec<bool>> = published
        .iter()
        .map(|events| vec![false; events.len()])
        .collect();
    let mut at = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        let event = published[arrival.publisher][arrival.number];
        let seen = &mut seen[arrival.publisher][arrival.number];
        if event.accepted && event.at >= phases.begin && !*seen {
            at.push(arrival.at);
        }
        *seen = true;
    }
    at
}

/// How many of these moments had passed, over the seconds of a run.
fn curve(mut moments: Vec<u32>, phases: Phases) -> Vec<(f64, f64)> {
    moments.sort_unstable();
    let steps = (phases.begin..=phases.end).step_by(STEP as usize);
    let points = steps.map(|at| {
        let count = moments.partition_point(|moment| *moment <= at);
        (f64::from(at - phases.begin) / 1e6, count as f64)
    });
    points.collect()
}
