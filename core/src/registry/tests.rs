//! The order in which a watcher and the tables learn of a target.

use core::sync::atomic::AtomicI32;

use super::*;
use crate::bus::Lane;
use crate::event::Event;
use crate::host::SingleThread;

/// Counts the targets with members. While the first is counted, another connection joins the same target.
#[derive(Default)]
struct Watch {
    count: AtomicI32,
    /// The count whenever a reach is read.
    read: Mutex<midplane::Lock, Vec<i32>>,
    second: Mutex<midplane::Lock, Option<(Arc<Attachment>, Target)>>,
}

impl TargetWatcher for Watch {
    fn target_gained(&self, _: KeyRef<'_>) {
        let second = self.second.lock().take();
        if let Some((second, target)) = second {
            drop(second.associate(&target));
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn target_lost(&self, _: KeyRef<'_>) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn reach(&self, _: KeyRef<'_>) -> ReachAnswer {
        self.read.lock().push(self.count.load(Ordering::Relaxed));
        ReachAnswer::Known(Reach::Everywhere)
    }

    fn reaches(&self, _: KeyRef<'_>) -> Reach {
        Reach::Everywhere
    }

    fn lane(&self, _: KeyRef<'_>) -> Lane {
        Lane(0)
    }

    fn has_members(&self, _: Lane) -> bool {
        true
    }

    fn now(&self) -> Instant {
        Instant::ZERO
    }
}

/// A connection that joins a target between another's join and its being counted would be told that no bus is there.
#[test]
fn a_target_is_counted_before_anyone_reads_its_reach() {
    let watch = Arc::new(Watch::default());
    let registry: Registry<SingleThread<midplane::Lock>> = Registry::new();
    let registry = Arc::new(registry.with_watcher(watch.clone()));
    let attach = |id: &str| {
        let id = ConnectionId::new(id).unwrap();
        registry.attach(&Scope::default(), id, Sink::new(|_: &Event| {}))
    };
    let (first, second) = (attach("first"), Arc::new(attach("second")));
    let own = watch.count.load(Ordering::Relaxed);
    let target = Target::topic("t").unwrap();
    *watch.second.lock() = Some((second.clone(), target.clone()));
    drop(first.associate(&target));
    let read = core::mem::take(&mut *watch.read.lock());
    assert_eq!(read.len(), 2);
    assert!(
        read.iter().all(|count| *count > own),
        "{read:?}, own: {own}"
    );
    // Of two that join, one is counted, and as many are when both have left.
    assert_eq!(watch.count.load(Ordering::Relaxed), own + 1);
    assert!(first.dissociate(&target) && second.dissociate(&target));
    assert_eq!(watch.count.load(Ordering::Relaxed), own);
}

/// A refused association leaves nothing counted.
#[test]
fn an_association_that_is_refused_is_not_counted() {
    let watch = Arc::new(Watch::default());
    let registry: Registry<SingleThread<midplane::Lock>> = Registry::with_limit(1);
    let registry = Arc::new(registry.with_watcher(watch.clone()));
    let id = ConnectionId::new("c").unwrap();
    let one = registry.attach(&Scope::default(), id, Sink::new(|_: &Event| {}));
    let counted = || watch.count.load(Ordering::Relaxed);
    for (name, count) in [("a", 2), ("b", 2), ("a", 2)] {
        drop(one.associate(&Target::topic(name).unwrap()));
        assert_eq!(counted(), count, "{name}");
    }
    drop(one.detach());
    drop(one.associate(&Target::topic("a").unwrap()));
    assert_eq!(counted(), 0);
}
