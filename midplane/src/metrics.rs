//! The [`Status`] of a node as text that Prometheus reads.
//!
//! ```
//! # use midplane::{Plane, metrics};
//! let plane = Plane::local();
//! let text = metrics::render(&plane.status());
//! assert!(text.contains("midplane_connections 0\n"));
//! ```
//!
//! Serve it as `text/plain; version=0.0.4`. Names begin with `midplane_`; a counter's name ends with `_total`, and where
//! something is counted by reason, the reason is a label. No label holds what a client or an operator chose. A dashboard
//! for Grafana with every family, those of a listener of completions too, is [`DASHBOARD`].

#[cfg(feature = "completions")]
mod listener;

use std::fmt::{self, Display, Write};

use midplane_core::{State, Status};

#[cfg(feature = "completions")]
pub use listener::render_listener;

/// A dashboard for Grafana, to be imported as it is: the file `grafana.json` of this crate.
pub const DASHBOARD: &str = include_str!("../grafana.json");

/// Every count of the status, each family with its help and type.
#[must_use]
pub fn render(status: &Status) -> String {
    let mut text = String::with_capacity(8 << 10);
    // Writing to a string does not fail.
    let _ = Families(&mut text).all(status);
    text
}

/// A label's name and its value.
type Label = (&'static str, &'static str);

struct Families<'a>(&'a mut String);

impl Families<'_> {
    fn all(&mut self, status: &Status) -> fmt::Result {
        let states = [
            (State::Live, "live"),
            (State::Degraded, "degraded"),
            (State::Stopped, "stopped"),
            (State::Closed, "closed"),
        ];
        let states = states.map(|(state, name)| (("state", name), u8::from(status.state == state)));
        self.gauges("state", "1 for what the backplane can do.", states)?;
        self.gauge(
            "connections",
            "Connections attached here.",
            status.connections,
        )?;
        self.gauge("members", "Other nodes heard lately.", status.members.len())?;
        self.gauge("peers", "Other nodes kept track of.", status.peers)?;
        self.gauge(
            "queued_messages",
            "Messages that wait for the bus.",
            status.queued,
        )?;
        self.gauge(
            "queued_bytes",
            "Bytes that wait for the bus.",
            status.queued_bytes,
        )?;
        let (drops, mailboxes) = (&status.drops, &status.mailboxes);
        self.counters(
            "deliveries_dropped_total",
            "Deliveries to connections here that did not happen.",
            "reason",
            [
                ("full", drops.full as u64),
                ("closed", drops.closed as u64),
                ("panicked", drops.panicked as u64),
            ],
        )?;
        self.counters(
            "mailbox_events_total",
            "Events that mailboxes took and did not deliver.",
            "reason",
            [
                ("dropped", mailboxes.dropped),
                ("superseded", mailboxes.superseded),
                ("abandoned", mailboxes.abandoned),
            ],
        )?;
        let refusals = &status.refusals;
        self.counters(
            "relay_refused_total",
            "Events published here that were not relayed to other nodes.",
            "reason",
            [
                ("closed", refusals.closed as u64),
                ("stopped", refusals.stopped as u64),
                ("full", refusals.full as u64),
                ("too_large", refusals.too_large as u64),
                ("too_many", refusals.too_many as u64),
            ],
        )?;
        self.counter(
            "relay_lost_total",
            "Messages accepted for relay and given up; other nodes report them missing.",
            status.lost,
        )?;
        let missed = &status.missed;
        self.counters(
            "missed_total",
            "What did not come from other nodes and will not.",
            "what",
            [
                ("events", missed.events),
                ("gaps", missed.gaps),
                ("deaf", missed.deaf),
                ("incidents", missed.incidents),
                ("reports", missed.reports),
            ],
        )?;
        let counters = &status.counters;
        self.counters(
            "node_total",
            "What the protocol between nodes dropped, skipped and repaired.",
            "what",
            [
                ("duplicates", counters.duplicates),
                ("expired", counters.expired),
                ("stale", counters.stale),
                ("unknown_versions", counters.unknown_versions),
                ("unknown_kinds", counters.unknown_kinds),
                ("malformed", counters.malformed),
                ("misplaced", counters.misplaced),
                ("unsigned", counters.unsigned),
                ("unknown_keys", counters.unknown_keys),
                ("wrong_tags", counters.wrong_tags),
                ("overflows", counters.overflows),
                ("foreign", counters.foreign),
                ("implausible", counters.implausible),
                ("asks", counters.asks),
                ("repairs", counters.repairs),
                ("repaired", counters.repaired),
                ("unheld", counters.unheld),
            ],
        )?;
        self.counters(
            "external_total",
            "Messages of external publishers.",
            "outcome",
            [
                ("understood", status.external.understood),
                ("refused", status.external.refused),
            ],
        )?;
        self.counter(
            "notices_dropped_total",
            "Notices that slow listeners did not get.",
            status.notices_dropped,
        )
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) -> fmt::Result {
        writeln!(self.0, "# HELP midplane_{name} {help}")?;
        writeln!(self.0, "# TYPE midplane_{name} {kind}")
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.head(name, help, "gauge")?;
        writeln!(self.0, "midplane_{name} {value}")
    }

    fn gauges<V: Display, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: [(Label, V); N],
    ) -> fmt::Result {
        self.head(name, help, "gauge")?;
        self.labelled(name, values)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.head(name, help, "counter")?;
        writeln!(self.0, "midplane_{name} {value}")
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [(&'static str, u64); N],
    ) -> fmt::Result {
        self.head(name, help, "counter")?;
        self.labelled(name, values.map(|(text, value)| ((label, text), value)))
    }

    fn labelled<V: Display, const N: usize>(
        &mut self,
        name: &str,
        values: [(Label, V); N],
    ) -> fmt::Result {
        values.into_iter().try_for_each(|((label, text), value)| {
            writeln!(self.0, "midplane_{name}{{{label}=\"{text}\"}} {value}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every line is a comment or `name{label="text"} number`, each family has a head, and no series comes twice.
    #[test]
    fn each_series_stands_once_under_the_head_of_its_family() {
        let mut status = Status::default();
        status.drops.full = 3;
        status.refusals.too_large = 4;
        status.state = State::Stopped;
        let text = render(&status);
        let (mut family, mut series) = ("", BTreeSet::new());
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                family = head.split_once(' ').unwrap().0;
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<u64>().is_ok(), "{line}");
                assert!(series.insert(name), "{line} comes twice");
                assert_eq!(name.split('{').next(), Some(family), "{line}");
            }
        }
        assert_eq!(series.len(), 46);
        for line in [
            "midplane_state{state=\"stopped\"} 1\n",
            "midplane_state{state=\"live\"} 0\n",
            "midplane_deliveries_dropped_total{reason=\"full\"} 3\n",
            "midplane_relay_refused_total{reason=\"too_large\"} 4\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    /// The families that a text names, of a listener or of a node.
    pub(super) fn families(text: &str, of_a_listener: bool) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words
            .filter(|word| word.starts_with("midplane_"))
            .filter(|word| word.starts_with("midplane_listener_") == of_a_listener)
            .collect()
    }

    #[test]
    fn the_dashboard_shows_every_family_and_no_other() {
        let text = render(&Status::default());
        assert_eq!(families(DASHBOARD, false), families(&text, false));
        let labels = ["state", "what", "reason", "outcome"];
        for label in labels {
            assert!(DASHBOARD.contains(label), "{label}");
        }
    }

    /// A field that is added to the status and to no family would be counted for nobody.
    #[test]
    fn every_count_of_the_status_is_rendered() {
        let shown = format!("{:?}", Status::default());
        let counts = shown.matches(": 0").count();
        // Two fields are no counts, and the members are counted as one.
        let gauges = ["members"].len() + ["live", "degraded", "stopped", "closed"].len();
        assert_eq!(counts + gauges, 46, "{shown}");
    }
}
