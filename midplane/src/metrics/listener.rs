//! The status of a listener, for Prometheus.

use std::fmt;

use midplane_completions::{ListenerPart, ListenerStatus};

use super::Families;

/// Every count of a listener of completions, to be put behind what [`render`](super::render) gives.
///
/// ```
/// # use midplane::completions::ListenerStatus;
/// # use midplane::{Plane, metrics};
/// # let plane = Plane::local();
/// # let status = ListenerStatus::default(); // as of `ListenerHandle::status`
/// let text = metrics::render(&plane.status()) + &metrics::render_listener(&status);
/// assert!(text.contains("midplane_listener_trouble{part=\"take\"} 0\n"));
/// ```
#[must_use]
pub fn render_listener(status: &ListenerStatus) -> String {
    let mut text = String::with_capacity(4 << 10);
    // Writing to a string does not fail.
    let _ = listener(&mut Families(&mut text), status);
    text
}

fn listener(families: &mut Families<'_>, status: &ListenerStatus) -> fmt::Result {
    let troubles = ListenerPart::ALL.map(|part| {
        let in_trouble = status.troubles.iter().any(|trouble| trouble.part == part);
        (("part", part.as_str()), u8::from(in_trouble))
    });
    families.gauges(
        "listener_trouble",
        "1 for a part of the listener that does not work.",
        troubles,
    )?;
    let completions = [
        (("state", "running"), status.running),
        (("state", "waiting"), status.waiting),
        (("state", "claimed"), status.claimed),
    ];
    families.gauges(
        "listener_completions",
        "Completions that are claimed, and of those what runs and waits.",
        completions,
    )?;
    let counters = &status.counters;
    families.counters(
        "listener_handled_total",
        "How handlers ended.",
        "outcome",
        [
            ("done", counters.done),
            ("no_op", counters.no_op),
            ("failed", counters.failed),
            ("panicked", counters.panicked),
            ("late", counters.late),
        ],
    )?;
    families.counters(
        "listener_total",
        "What the listener received, and what became of it but for handlers.",
        "what",
        [
            ("streamed", counters.streamed),
            ("taken", counters.taken),
            ("repeated", counters.repeated),
            ("dead", counters.dead),
            ("lost", counters.lost),
            ("returned", counters.returned),
            ("lagged", counters.lagged),
            ("poison", counters.poison),
        ],
    )?;
    families.counters(
        "listener_calls_total",
        "Calls to the store, by how they ended.",
        "outcome",
        [
            ("fruitful", counters.fruitful),
            ("vain", counters.vain),
            ("unanswered", counters.unanswered),
            ("subscribed", counters.subscribed),
            ("unsubscribed", counters.unsubscribed),
        ],
    )
}

#[cfg(test)]
mod tests {
    use midplane_completions::ListenerCounters;

    use super::*;
    use crate::metrics::DASHBOARD;
    use crate::metrics::tests::families;

    #[test]
    fn the_dashboard_shows_every_family_of_a_listener_and_no_other() {
        let text = render_listener(&ListenerStatus::default());
        assert_eq!(families(DASHBOARD, true), families(&text, true));
        for label in ["(part)", "(state)", "(outcome)", "(what)"] {
            let mut ours = DASHBOARD
                .lines()
                .filter(|line| line.contains("midplane_listener_"));
            assert!(ours.any(|line| line.contains(label)), "{label}");
        }
    }

    /// A field that is added to the counters and to no family would be counted for nobody.
    #[test]
    fn every_count_of_a_listener_is_rendered_once() {
        let text = render_listener(&ListenerStatus::default());
        let mut series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let count = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), count);
        let counters = format!("{:?}", ListenerCounters::default());
        let (troubles, gauges) = (ListenerPart::ALL.len(), 3);
        assert_eq!(count, counters.matches(": 0").count() + troubles + gauges);
    }
}
