//! The bus inside one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

use async_trait::async_trait;
use midplane_core::bus::{
    Bus, BusError, BusErrorKind, End, Inbound, Inbox, Lane, Limits, Link, OpenLink, Outbound,
    Transmit,
};
use parking_lot::{Mutex, RawMutex};

/// A [`Bus`] between the nodes of one process, and the reference for every other adapter.
///
/// Clones share one hub, and so reach each other; two calls of [`new`](Self::new) never do.
///
/// # Mapping
///
/// A lane is a number in the set that each link keeps. One lock makes every send one step, so all
/// links receive the frames of all senders in the same order.
///
/// # Limits
///
/// Frames of at most 1 MiB, and at most 16 MiB waiting in a link: both can be set. A link that
/// would hold more yields what it has and then ends with [`Overflow`](BusErrorKind::Overflow).
///
/// # What happens on disconnect
///
/// Nothing disconnects by itself. [`cut`](Self::cut) and [`block`](Self::block) do, for tests of what is
/// built on a bus: what waits in a link is still yielded, then an error.
///
/// # Where it runs
///
/// On whichever thread sends: a send has reached every link by the time it returns.
#[derive(Debug, Clone)]
pub struct Memory {
    hub: Arc<Mutex<Hub>>,
    limits: Limits,
    queue: usize,
}

/// What the clones of one bus share.
#[derive(Debug, Default)]
struct Hub {
    /// The open links, by number.
    links: BTreeMap<u64, Subscriber>,
    next: u64,
    blocked: bool,
}

#[derive(Debug)]
struct Subscriber {
    lanes: BTreeSet<Lane>,
    inbox: Arc<Inbox<RawMutex>>,
}

impl Memory {
    /// A hub of its own, with no link on it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hub: Arc::default(),
            limits: Limits::new(1 << 20),
            queue: 16 << 20,
        }
    }

    /// Limits the frames that this handle takes to this many bytes.
    #[must_use]
    pub fn with_frame_limit(mut self, bytes: usize) -> Self {
        self.limits = Limits::new(bytes);
        self
    }

    /// Limits what waits in each link that this handle opens to this many bytes. A frame counts as its
    /// length and some 40 bytes more.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Ends every link, as a server that restarts does.
    pub fn cut(&self) {
        let links = std::mem::take(&mut self.hub.lock().links);
        for subscriber in links.into_values() {
            let message = "the memory bus was cut".to_owned();
            let end = End::Failed(BusErrorKind::Unreachable, message);
            subscriber.inbox.end(end);
        }
    }

    /// Ends every link and refuses new ones until [`unblock`](Self::unblock), as a server that is down
    /// does.
    pub fn block(&self) {
        self.hub.lock().blocked = true;
        self.cut();
    }

    /// Lets links be opened again.
    pub fn unblock(&self) {
        self.hub.lock().blocked = false;
    }

    /// How many links are open on the hub, those of all its handles.
    #[must_use]
    pub fn links(&self) -> usize {
        self.hub.lock().links.len()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for Memory {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn prefix(&self) -> &str {
        "memory"
    }

    fn is_alone(&self) -> bool {
        self.links() == 1
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let inbox = Arc::new(Inbox::new(self.queue));
        let mut hub = self.hub.lock();
        if hub.blocked {
            return Err(BusError::new(
                BusErrorKind::Unreachable,
                "the memory bus is blocked until `unblock` is called",
            ));
        }
        let number = hub.next;
        hub.next += 1;
        let subscriber = Subscriber {
            lanes: BTreeSet::new(),
            inbox: inbox.clone(),
        };
        hub.links.insert(number, subscriber);
        drop(hub);
        let hub = self.hub.clone();
        let link = OpenLink::new(inbox, Connection { hub, number });
        Ok(Link {
            frames: link.clone().frames(|_, _| {}),
            transmit: Box::new(Sender {
                link,
                limits: self.limits,
            }),
        })
    }
}

/// A link's entry on the hub, which goes with it.
struct Connection {
    hub: Arc<Mutex<Hub>>,
    number: u64,
}

impl Connection {
    /// Changes the lanes that the link is subscribed to.
    fn change(&self, change: impl FnOnce(&mut BTreeSet<Lane>)) {
        if let Some(subscriber) = self.hub.lock().links.get_mut(&self.number) {
            change(&mut subscriber.lanes);
        }
    }

    /// Hands the frames to all links in one step, and gives the readers to be woken once no lock is held: a waker
    /// may run what drops a link.
    fn send(&self, frames: &[Outbound]) -> Vec<Waker> {
        let mut readers = Vec::new();
        let mut hub = self.hub.lock();
        for Outbound { lane, frame, .. } in frames {
            for Subscriber { lanes, inbox } in hub.links.values() {
                if lanes.contains(lane) {
                    let (lane, frame) = (*lane, frame.clone());
                    readers.extend(inbox.add(Inbound { lane, frame }));
                }
            }
        }
        hub.links
            .retain(|_, subscriber| !subscriber.inbox.is_over());
        readers
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let removed = self.hub.lock().links.remove(&self.number);
        // With the lock let go: a reader's waker may hold another link.
        drop(removed);
    }
}

struct Sender {
    link: Arc<OpenLink<RawMutex, Connection>>,
    limits: Limits,
}

#[async_trait]
impl Transmit for Sender {
    async fn subscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        self.link
            .on(|connection| connection.change(|subscribed| subscribed.extend(lanes)))
    }

    async fn unsubscribe(&mut self, lanes: &[Lane]) -> Result<(), BusError> {
        let kept = |lane: &Lane| !lanes.contains(lane);
        self.link
            .on(|connection| connection.change(|subscribed| subscribed.retain(kept)))
    }

    async fn send(&mut self, frames: &[Outbound]) -> Result<(), BusError> {
        self.link.check()?;
        self.limits.check(frames)?;
        let readers = self.link.on(|connection| connection.send(frames))?;
        readers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), BusError> {
        self.link.close()
    }
}
