//! The sockets that speak HTTP: how many there are, whose, and which gives way to a newcomer.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use futures::channel::oneshot;
use futures::task::AtomicWaker;

use crate::connections::ConnectionPlace;

/// Places beside the limit for those that ask how the server is, when every socket has a request under way.
pub(crate) const PROBES: usize = 16;

/// The sockets that speak HTTP, up to a limit.
///
/// A newcomer always has a place. When all are taken, the socket gives way that has no request under way for the longest
/// time, of an address that has the most sockets; where each has a request, the newcomer may ask how the server is and no
/// more, and of those the oldest gives way.
pub(crate) struct Sockets {
    limit: usize,
    table: Mutex<Table>,
    emptied: AtomicWaker,
}

#[derive(Default)]
struct Table {
    /// The sockets that have a place, by number.
    placed: HashMap<u64, Entry>,
    /// The sockets that are open: one that gave way has no place, and is being closed.
    open: usize,
    /// Counts sockets and requests, so that a larger number is later.
    clock: u64,
}

struct Entry {
    address: IpAddr,
    probe: bool,
    /// Since when there is no request under way.
    idle: Option<u64>,
    /// Has the socket closed.
    give_way: oneshot::Sender<()>,
}

impl Sockets {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            table: Mutex::default(),
            emptied: AtomicWaker::new(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that changes it panics.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self) -> usize {
        self.table().open
    }

    /// A place for a socket of this address, and what resolves when it is to give way.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> (Place, oneshot::Receiver<()>) {
        let (give_way, gives_way) = oneshot::channel();
        let mut table = self.table();
        let probe = !table.make_room(self.limit);
        let number = table.tick();
        let entry = Entry {
            address,
            probe,
            idle: Some(number),
            give_way,
        };
        table.placed.insert(number, entry);
        table.open += 1;
        drop(table);
        let place = Place {
            sockets: self.clone(),
            number,
            address,
            probe,
            left: OnceLock::new(),
        };
        (place, gives_way)
    }

    /// Waits until no socket is open.
    pub(crate) async fn emptied(&self) {
        poll_fn(|context| {
            self.emptied.register(context.waker());
            match self.open() {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Has a socket give way if all places are taken. False where none can, and there is a place for a probe alone.
    fn make_room(&mut self, limit: usize) -> bool {
        let probes = self.placed.values().filter(|entry| entry.probe).count();
        if self.placed.len() - probes < limit {
            return true;
        }
        let mut sockets: HashMap<IpAddr, usize> = HashMap::new();
        for entry in self.placed.values() {
            *sockets.entry(entry.address).or_default() += 1;
        }
        let idle = self.placed.iter().filter(|(_, entry)| !entry.probe);
        let idle =
            idle.filter_map(|(number, entry)| Some((number, entry.idle?, sockets[&entry.address])));
        let first = idle.max_by_key(|(_, since, sockets)| (*sockets, u64::MAX - since));
        if let Some((&number, ..)) = first {
            self.give_way(number);
            return true;
        }
        if probes >= PROBES {
            let of_probes = self.placed.iter().filter(|(_, entry)| entry.probe);
            let oldest = of_probes.map(|(number, _)| *number).min();
            oldest.into_iter().for_each(|number| self.give_way(number));
        }
        false
    }

    fn give_way(&mut self, number: u64) {
        if let Some(entry) = self.placed.remove(&number) {
            // Who is gone needs not be told.
            let _ = entry.give_way.send(());
        }
    }
}

/// The place of one socket, until it is dropped.
pub(crate) struct Place {
    sockets: Arc<Sockets>,
    number: u64,
    /// The address of the client, or of the proxy in front of it.
    pub(crate) address: IpAddr,
    /// Whether the socket may only ask how the server is.
    pub(crate) probe: bool,
    /// What would have the socket give way, once it has no place any more, and the place that it has as a connection.
    left: OnceLock<(oneshot::Sender<()>, ConnectionPlace)>,
}

impl Place {
    /// Gives the place to others: the socket is a client's connection from here on, and gives way to nobody. It counts as a
    /// connection until the socket is closed: when its body has ended, its last words are still on their way.
    pub(crate) fn leave(&self, connection: ConnectionPlace) {
        let mut table = self.sockets.table();
        let Some(entry) = table.placed.remove(&self.number) else {
            return;
        };
        // Dropped, it would have the socket closed.
        let _ = self.left.set((entry.give_way, connection));
        table.open -= 1;
        drop(table);
        self.sockets.emptied.wake();
    }

    /// A request is under way until what this gives is dropped; the socket keeps its place for as long.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.set_idle(false);
        UnderWay(self.clone())
    }

    fn set_idle(&self, idle: bool) {
        let mut table = self.sockets.table();
        let now = table.tick();
        if let Some(entry) = table.placed.get_mut(&self.number) {
            entry.idle = idle.then_some(now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.sockets.table();
        table.placed.remove(&self.number);
        if self.left.get().is_none() {
            table.open -= 1;
        }
        drop(table);
        self.sockets.emptied.wake();
    }
}

/// A request that is under way.
pub(crate) struct UnderWay(Arc<Place>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set_idle(true);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::FutureExt;

    use super::*;
    use crate::connections::Connections;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn who_idles_longest_gives_way_of_the_address_with_most() {
        let sockets = Sockets::new(3);
        let (_alone, alone_leaves) = sockets.admit(address(1));
        let (first, first_leaves) = sockets.admit(address(2));
        let (_second, second_leaves) = sockets.admit(address(2));
        // The first has asked for something since.
        let first = Arc::new(first);
        drop(first.begin());
        let (newcomer, newcomer_leaves) = sockets.admit(address(1));
        assert!(!newcomer.probe);
        let left = |leaves: oneshot::Receiver<()>| leaves.now_or_never() == Some(Ok(()));
        assert!(left(second_leaves));
        for leaves in [alone_leaves, newcomer_leaves] {
            assert!(!left(leaves));
        }
        drop(first_leaves);
    }

    #[test]
    fn who_leaves_has_room_made_for_it_and_gives_way_to_nobody() {
        let sockets = Sockets::new(1);
        let (stream, mut gives_way) = sockets.admit(address(1));
        let connections = Connections::new(2, None);
        for place in [address(1), address(1)].map(|from| connections.take(from)) {
            stream.leave(place.ok().unwrap());
        }
        assert_eq!((sockets.open(), connections.open()), (0, 1));
        let newcomers = [sockets.admit(address(1)), sockets.admit(address(1))];
        assert!(newcomers.iter().all(|(place, _)| !place.probe));
        assert_eq!((&mut gives_way).now_or_never(), None);
        assert!(sockets.emptied().now_or_never().is_none());
        drop((stream, newcomers));
        assert_eq!(connections.open(), 0);
        assert!(sockets.emptied().now_or_never().is_some());
    }

    #[test]
    fn probes_have_places_when_every_socket_is_busy() {
        let sockets = Sockets::new(1);
        let (busy, mut busy_leaves) = sockets.admit(address(1));
        let busy = Arc::new(busy);
        let under_way = busy.begin();
        let mut probes: Vec<_> = (0..=PROBES).map(|_| sockets.admit(address(1))).collect();
        assert!(probes.iter().all(|(place, _)| place.probe));
        // One more than there are places: the oldest is gone.
        assert_eq!((&mut probes[0].1).now_or_never(), Some(Ok(())));
        assert!((&mut probes[1].1).now_or_never().is_none());
        drop(under_way);
        assert!(!sockets.admit(address(1)).0.probe);
        assert_eq!((&mut busy_leaves).now_or_never(), Some(Ok(())));
        assert!(sockets.emptied().now_or_never().is_none());
        drop((busy, probes));
        assert!(sockets.emptied().now_or_never().is_some());
    }
}
