//! Promise 5: everything that grows has a bound, and every drop a reason and a counter.

use std::sync::{Arc, OnceLock};

use futures::executor::block_on;
use midplane::{
    AssociateError, Attachment, Backplane, Event, Local, Registry, Scope, Sink, Verdict,
};

use crate::{counting, id, join, panics, topic};

/// A sink may own its own attachment; nothing is kept alive by that.
#[test]
fn promise_5_a_sink_that_owns_its_attachment_leaks_nothing() {
    let plane = Local::new();
    let own: Arc<OnceLock<Attachment>> = Arc::default();
    let sink = Sink::new({
        let own = own.clone();
        move |_: &Event| assert!(own.get().is_some_and(Attachment::is_attached))
    });
    let attachment = plane.attach(id("c"), sink);
    join(&attachment, &topic("t"));
    own.set(attachment).unwrap();
    assert_eq!(
        usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
        1
    );
    drop(plane);
    assert_eq!(Arc::strong_count(&own), 1, "the backplane is kept alive");
}

#[test]
fn promise_5_a_connection_is_in_a_bounded_number_of_targets() {
    let plane = Local::with_registry(Registry::with_limit(3));
    let (sink, _) = counting();
    let attachment = plane.attach(id("c"), sink);
    for name in ["a", "b", "c", "a", "b"] {
        join(&attachment, &topic(name));
    }
    let fourth = topic("d");
    assert_eq!(
        block_on(attachment.associate(&fourth)),
        Err(AssociateError::TooMany { limit: 3 })
    );
    assert_eq!(plane.registry().members(&Scope::default(), &fourth), 0);
    assert!(attachment.dissociate(&topic("a")) && !attachment.dissociate(&topic("a")));
    join(&attachment, &fourth);
}

/// Every verdict and every panic has its count, in the receipt and in the registry's sums.
#[test]
fn promise_5_every_drop_has_a_reason_and_a_counter() {
    let plane = Local::new();
    let t = topic("t");
    let held: Vec<Attachment> = [
        ("full", Sink::new(|_: &Event| Verdict::Full)),
        ("closed", Sink::new(|_: &Event| Verdict::Closed)),
        ("panics", Sink::new(panics)),
        ("well", Sink::new(|_: &Event| Verdict::Accepted)),
    ]
    .into_iter()
    .map(|(name, sink)| {
        let attachment = plane.attach(id(name), sink);
        join(&attachment, &t);
        attachment
    })
    .collect();
    let local = plane.publish(&t.clone().into(), &Event::text("e")).local;
    assert_eq!(
        (local.accepted, local.full, local.closed, local.panicked),
        (1, 1, 1, 1)
    );
    let local = plane.publish(&t.into(), &Event::text("e")).local;
    assert_eq!(
        (local.accepted, local.full, local.closed, local.panicked),
        (1, 1, 0, 0)
    );
    let drops = plane.registry().drops();
    assert_eq!((drops.full, drops.closed, drops.panicked), (2, 1, 1));
    let attached: Vec<bool> = held.iter().map(Attachment::is_attached).collect();
    assert_eq!(attached, [true, false, false, true]);
}
