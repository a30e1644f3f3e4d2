//! Gaps count events: neither stamps nor heartbeats, and nothing of the protocol's own.

use midplane_core::node::Config;

use crate::wire::{Wire, forgetful, ms, secs};

/// A link that brings nothing of this many events, one a frame, and an origin that keeps none of them.
fn lost(count: u64, apart: core::time::Duration) -> Wire {
    let mut wire = Wire::new(2, forgetful(Config::default()));
    wire.publish(0, 0);
    wire.run(secs(3));
    wire.route(move |frame| {
        let events = frame.is(0, 1) && frame.has_events() && !frame.has(0, 0, count + 1);
        (!events).then_some(ms(1))
    });
    for _ in 0..count {
        wire.publish(0, 0);
        wire.run(apart);
    }
    wire.route(|_| Some(ms(1)));
    wire.publish(0, 0);
    wire.run(secs(45));
    wire
}

#[test]
fn events_that_were_lost_are_counted_as_events() {
    for (count, apart) in [(3_000, ms(10)), (7, secs(3)), (1, ms(10))] {
        let wire = lost(count, apart);
        assert_eq!(wire.history.missing(1).len() as u64, count);
        assert_eq!(wire.history.lost_numbers(1), count);
        wire.history.assert_accounted(1);
    }
}

#[test]
fn what_carries_no_event_is_in_no_gap() {
    let mut wire = Wire::new(2, Config::default());
    wire.flow(secs(2), 5, &[(0, 0)]);
    let begin = wire.now();
    // Heartbeats, questions and answers are lost for five heartbeats, events are not.
    wire.route(move |frame| {
        let lost =
            frame.from != frame.to && !frame.has_events() && frame.within(begin, begin + secs(10));
        (!lost).then_some(ms(1))
    });
    wire.flow(secs(12), 5, &[(0, 0)]);
    wire.run(secs(10));
    wire.history.assert_all_whole();
}

#[test]
fn a_gap_says_when_its_events_were_published() {
    for (count, apart) in [(20, secs(1)), (5, ms(10))] {
        let wire = lost(count, apart);
        // That each report covers the moments of its own events.
        wire.history.assert_accounted(1);
        let losses = wire.history.losses(1);
        assert!(losses.len() as u64 <= count.max(3), "{losses:?}");
    }
}
