//! Signed frames on a simulated bus, and others beside them: who has no key changes nothing.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use midplane_core::bus::Lane;
use midplane_core::node::Config;

use crate::wire::{Wire, ms};

#[test]
fn a_frame_that_came_on_another_lane_is_dropped() {
    let lanes = 2;
    let mut wire = Wire::new(
        2,
        Config {
            lanes,
            ..Config::default()
        },
    );
    let frames: Rc<RefCell<Vec<Bytes>>> = Rc::default();
    let kept = frames.clone();
    // Node 1 has yet to get it.
    wire.route(move |frame| {
        let lost = frame.is(0, 1) && frame.has_events();
        if lost {
            kept.borrow_mut().push(frame.frame.clone());
        }
        (!lost).then_some(ms(1))
    });
    wire.publish(0, 1);
    wire.run(ms(50));
    let frame = frames.borrow()[0].clone();
    wire.inject_on(1, Lane(0), &frame);
    assert_eq!(wire.counters(1).misplaced, 1);
    assert_eq!(wire.history.got(1).len(), 0);
    wire.inject_on(1, Lane(1), &frame);
    assert_eq!(wire.history.got(1).len(), 1);
}
