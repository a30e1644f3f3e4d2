//! Where events end: a closure per connection.

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;

use crate::event::Event;
use crate::registry::{Connection, Head, Latch, Member};

use alloc::sync::Arc;

/// What became of an event at one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The sink took it.
    Accepted,
    /// The sink had no room: the event is dropped for this connection and counted.
    Full,
    /// The connection is gone: it is detached.
    Closed,
}

/// A sink that says nothing took the event.
impl From<()> for Verdict {
    fn from((): ()) -> Self {
        Self::Accepted
    }
}

/// Takes the events of one connection: a closure of `&Event` that returns a [`Verdict`] or nothing.
///
/// It runs in the publisher's call, outside every lock, and may attach, detach, associate or publish.
/// Several publishers may run it at once. It must not block: it hands the event on (to a
/// [mailbox](crate::mailbox)) and returns, for while it runs, the connections after it in the same
/// fan-out wait, and so does an awaited detach of those before it. Nobody else does. If it
/// panics it is detached and counted, and the others are served, where the host can catch panics.
pub struct Sink(Box<dyn Build>);

impl Sink {
    /// The sink that calls `deliver`.
    pub fn new<F, V>(deliver: F) -> Self
    where
        F: Fn(&Event) -> V + Send + Sync + 'static,
        V: Into<Verdict> + 'static,
    {
        Self(Box::new(Closure {
            deliver,
            verdict: PhantomData,
        }))
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

/// What a connection calls. Dropping it opens the connection's latch, after the closure is dropped.
pub(crate) trait Deliver: Send + Sync {
    fn deliver(&self, event: &Event) -> Verdict;
}

trait Build: Send + Sync {
    fn build(self: Box<Self>, head: Head, latch: Arc<dyn Latch>) -> Member;
}

struct Closure<F, V> {
    deliver: F,
    verdict: PhantomData<fn() -> V>,
}

impl<F, V> Build for Closure<F, V>
where
    F: Fn(&Event) -> V + Send + Sync + 'static,
    V: Into<Verdict> + 'static,
{
    fn build(self: Box<Self>, head: Head, latch: Arc<dyn Latch>) -> Member {
        Connection::shared(
            head,
            Latched {
                closure: *self,
                _opens: OpenOnDrop(latch),
            },
        )
    }
}

/// Fields drop in this order: what the closure captured is gone when the latch opens.
struct Latched<F, V> {
    closure: Closure<F, V>,
    _opens: OpenOnDrop,
}

impl<F, V> Deliver for Latched<F, V>
where
    F: Fn(&Event) -> V + Send + Sync + 'static,
    V: Into<Verdict> + 'static,
{
    fn deliver(&self, event: &Event) -> Verdict {
        (self.closure.deliver)(event).into()
    }
}

struct OpenOnDrop(Arc<dyn Latch>);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}
