//! Where events end: a closure per connection.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;

use super::connection::{Connection, Head, Latch, Member};
use super::end::ConnectionEnd;
use super::verdict::{Deliver, Taken, Verdict};
use crate::event::Event;
use crate::missed::Missed;

/// Takes what one connection gets: events, and reports that some may be [missing](Missed).
///
/// A sink is a closure of `&Event` that returns a [`Verdict`] or nothing, [two closures](Self::with_missed), or the
/// sending end of a [mailbox](crate::mailbox), which takes both.
///
/// It runs in the publisher's call, outside every lock, and may attach, detach, associate or publish.
/// Several publishers may run it at once. It must not block: it hands the event on (to a
/// [mailbox](crate::mailbox)) and returns, for while it runs, the connections after it in the same
/// fan-out wait, and so does an awaited detach of those before it. Nobody else does. If it
/// panics it is detached and counted, and the others are served, where the host can catch panics.
pub struct Sink(Box<dyn Build>);

impl Sink {
    /// The sink that calls `deliver` with each event. Reports that events may be missing end here: the connection
    /// does not get them.
    pub fn new<F, V>(deliver: F) -> Self
    where
        F: Fn(&Event) -> V + Send + Sync + 'static,
        V: Into<Verdict> + 'static,
    {
        Self::with_missed(deliver, |_: &Missed| {})
    }

    /// The sink that calls `deliver` with each event, and `missed` with each report that some may be missing: behind
    /// the events that came before what is missing, and before those that come after it.
    ///
    /// ```
    /// use midplane_core::{Event, Missed, Sink};
    ///
    /// let sink = Sink::with_missed(
    ///     |event: &Event| println!("{:?}", event.as_text()),
    ///     |missed: &Missed| println!("fetch the state again: {missed}"),
    /// );
    /// # drop(sink);
    /// ```
    pub fn with_missed<F, V, M, W>(deliver: F, missed: M) -> Self
    where
        F: Fn(&Event) -> V + Send + Sync + 'static,
        V: Into<Verdict> + 'static,
        M: Fn(&Missed) -> W + Send + Sync + 'static,
        W: Into<Verdict> + 'static,
    {
        Self::of(Closures {
            deliver,
            missed,
            verdicts: PhantomData,
        })
    }

    pub(crate) fn of(sink: impl Deliver + 'static) -> Self {
        Self(Box::new(sink))
    }

    /// Moves the closure into the connection's own allocation, which a fan-out reads once.
    pub(crate) fn into_member(self, head: Head, latch: Arc<dyn Latch>) -> Member {
        self.0.build(head, latch)
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

trait Build: Send + Sync {
    fn build(self: Box<Self>, head: Head, latch: Arc<dyn Latch>) -> Member;
}

impl<D: Deliver + 'static> Build for D {
    fn build(self: Box<Self>, head: Head, latch: Arc<dyn Latch>) -> Member {
        let sink = Latched {
            sink: *self,
            opens: OpenOnDrop(latch),
        };
        Connection::shared(head, sink)
    }
}

struct Closures<F, V, M, W> {
    deliver: F,
    missed: M,
    verdicts: PhantomData<fn() -> (V, W)>,
}

impl<F, V, M, W> Deliver for Closures<F, V, M, W>
where
    F: Fn(&Event) -> V + Send + Sync,
    V: Into<Verdict>,
    M: Fn(&Missed) -> W + Send + Sync,
    W: Into<Verdict>,
{
    fn deliver(&self, event: &Event) -> Taken {
        (self.deliver)(event).into().into()
    }

    fn missed(&self, missed: &Missed) -> Verdict {
        (self.missed)(missed).into()
    }
}

/// Fields drop in this order: what the sink captured is gone when the latch opens.
struct Latched<D> {
    sink: D,
    opens: OpenOnDrop,
}

impl<D: Deliver> Deliver for Latched<D> {
    fn deliver(&self, event: &Event) -> Taken {
        self.sink.deliver(event)
    }

    fn missed(&self, missed: &Missed) -> Verdict {
        self.sink.missed(missed)
    }

    fn ended(&self, end: ConnectionEnd) {
        self.opens.0.ended(end);
    }

    fn warm(&self) -> bool {
        self.sink.warm()
    }
}

/// Opens the connection's latch.
struct OpenOnDrop(Arc<dyn Latch>);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}
