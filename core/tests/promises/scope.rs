//! Scoped handles, and a backplane that is closed.

use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;
use midplane::{
    AssociateError, Attachment, Backplane, Event, Local, Refusal, Relay, Sink, State, Target,
};

use crate::{attach_counting, counting, id, join, topic};

#[test]
fn a_scoped_handle_reaches_its_own_scope_only() {
    let root = Local::new();
    let acme = root.scoped("acme").unwrap();
    let rival = root.scoped("rival").unwrap();
    let inner = acme.scoped("rival").unwrap();
    let planes: [(&str, Arc<dyn Backplane>); 4] = [
        ("root", Arc::new(root.clone())),
        ("acme", acme),
        ("rival", rival),
        ("inner", inner),
    ];
    let calls: Arc<Mutex<HashMap<&str, usize>>> = Arc::default();
    let _held: Vec<Attachment> = planes
        .iter()
        .map(|(name, plane)| {
            let (name, calls) = (*name, calls.clone());
            let sink =
                Sink::new(move |_: &Event| *calls.lock().unwrap().entry(name).or_default() += 1);
            let attachment = plane.attach(id("c"), sink);
            join(&attachment, &topic("t"));
            attachment
        })
        .collect();
    for (name, plane) in &planes {
        assert_eq!(
            usize::from(plane.publish(&topic("t").into(), &Event::text("e"))),
            1
        );
        let own = Target::connection("c").unwrap();
        assert_eq!(
            usize::from(plane.publish(&own.into(), &Event::text("e"))),
            1
        );
        assert_eq!(calls.lock().unwrap().remove(name), Some(2), "{name}");
        assert!(
            calls.lock().unwrap().is_empty(),
            "{name} reached another scope"
        );
    }
    assert!(root.scoped("").is_err());
    assert!(root.scoped(&"x".repeat(255)).is_err());
}

#[test]
fn a_closed_backplane_says_so() {
    let plane = Local::new();
    let (attachment, calls) = attach_counting(&plane, "c", &topic("t"));
    assert_eq!(plane.state(), State::Live);
    assert_eq!(block_on(plane.flush()), Ok(()));
    assert_eq!(block_on(plane.close(Duration::ZERO)).unsent, 0);
    assert_eq!(plane.state(), State::Closed);
    assert!(block_on(plane.flush()).is_err());
    let receipt = plane.publish(&topic("t").into(), &Event::text("e"));
    assert_eq!(receipt.relay, Relay::Refused(Refusal::Closed));
    assert_eq!((usize::from(receipt), calls.load(SeqCst)), (0, 0));
    assert!(!attachment.is_attached());
    let (sink, late) = counting();
    let attachment = plane.attach(id("late"), sink);
    assert_eq!(
        block_on(attachment.associate(&topic("t"))),
        Err(AssociateError::Detached)
    );
    block_on(attachment.detach());
    assert_eq!(
        Arc::strong_count(&late),
        1,
        "the sink of a late attach is dropped"
    );
}
