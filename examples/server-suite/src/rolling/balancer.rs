//! Who gets the next client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use midplane_testkit::until;
use tokio::time::{sleep, timeout};

use crate::http::Request;

/// A probe that takes longer has failed.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// The servers, whether each is ready, and how many clients each has.
#[derive(Debug)]
pub(super) struct Balancer(Vec<Place>);

#[derive(Debug)]
struct Place {
    address: SocketAddr,
    is_ready: AtomicBool,
    clients: AtomicUsize,
}

/// A client's assignment to a server, which ends with this value.
#[derive(Debug)]
pub(super) struct Assignment {
    balancer: Arc<Balancer>,
    place: usize,
}

impl Balancer {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let places = addresses.iter().map(|&address| Place {
            address,
            is_ready: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
        });
        Self(places.collect())
    }

    /// Asks every server again and again whether it is ready.
    pub(super) async fn probe(self: Arc<Self>, every: Duration) {
        loop {
            join_all(self.0.iter().map(async |place| {
                let request = Request::new("GET", "/readyz");
                let answer = timeout(PROBE_LIMIT, request.try_send(place.address)).await;
                let is_ready = answer
                    .ok()
                    .flatten()
                    .is_some_and(|answer| answer.status == 200);
                place.is_ready.store(is_ready, Ordering::Relaxed);
            }))
            .await;
            sleep(every).await;
        }
    }

    /// An assignment to the ready server that has the fewest clients, if one is ready.
    pub(super) fn assignment(self: &Arc<Self>) -> Option<Assignment> {
        let ready = self.0.iter().enumerate();
        let ready = ready.filter(|(_, place)| place.is_ready.load(Ordering::Relaxed));
        let (place, least) =
            ready.min_by_key(|(_, place)| place.clients.load(Ordering::Relaxed))?;
        least.clients.fetch_add(1, Ordering::Relaxed);
        Some(Assignment {
            balancer: self.clone(),
            place,
        })
    }

    /// How many clients a server has.
    pub(super) fn clients(&self, place: usize) -> usize {
        self.0[place].clients.load(Ordering::Relaxed)
    }

    /// Waits until every server is ready.
    pub(super) async fn all_ready(&self) {
        until("every server is ready", async || {
            let mut places = self.0.iter();
            places
                .all(|place| place.is_ready.load(Ordering::Relaxed))
                .then_some(())
        })
        .await;
    }
}

impl Assignment {
    pub(super) fn address(&self) -> SocketAddr {
        self.balancer.0[self.place].address
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        let place = &self.balancer.0[self.place];
        place.clients.fetch_sub(1, Ordering::Relaxed);
    }
}
