//! How many subscriptions a server takes of a connection: found out on connections of their own.

use std::sync::Arc;

use bytes::Bytes;
use midplane_core::bus::{BusError, Lane};
use tokio::runtime::Handle;

use crate::arrivals::{Arrivals, Subscription};
use crate::dial::{Purpose, dial};
use crate::error::is_full;
use crate::settings::{Nats, SEPARATOR};

/// A lane on which nothing is ever sent, so that a trial receives nothing of others.
const SILENT: Lane = Lane(u32::MAX - 1);

/// How many subscriptions of a connection the server takes.
pub(crate) struct Most {
    /// A number that is taken.
    pub(crate) known: usize,
    /// The least number that is not taken, if there is one.
    pub(crate) refused: Option<usize>,
}

/// Finds how many the server takes, where it takes `known`, up to `most`: one trial if it takes those, else some more, that
/// halve what is between. The runtime is current.
pub(crate) async fn most(nats: &Nats, mut known: usize, most: usize) -> Result<Most, BusError> {
    if takes(nats, most).await? {
        return Ok(Most {
            known: most,
            refused: None,
        });
    }
    let mut refused = most;
    while refused - known > 1 {
        let middle = known + (refused - known) / 2;
        match takes(nats, middle).await? {
            true => known = middle,
            false => refused = middle,
        }
    }
    Ok(Most {
        known,
        refused: Some(refused),
    })
}

/// Whether the server takes this number of subscriptions of one connection.
async fn takes(nats: &Nats, count: usize) -> Result<bool, BusError> {
    let arrivals = Arc::new(Arrivals::new(nats.queue));
    let servers = &nats.endpoint.servers;
    let client = dial(nats, servers, Purpose::Trial, &arrivals).await?.client;
    let subject = nats.prefix.channel(SEPARATOR, SILENT);
    let token = client.new_inbox();
    let came_back = arrivals.expect(token.clone(), &[SILENT]);
    let mut kept = Vec::new();
    let asked = async {
        let first = client.subscribe(subject.clone()).await.ok()?;
        let runtime = Handle::current();
        let reading = Subscription::start(&runtime, SILENT, first, arrivals.clone());
        for _ in 1..count {
            kept.push(client.subscribe(subject.clone()).await.ok()?);
        }
        let probed = client.publish_with_reply(subject.clone(), token, Bytes::new());
        probed.await.ok()?;
        Some(reading)
    };
    let reading = asked.await;
    // What is not subscribed any more ends the wait as well.
    let is_back = arrivals.inbox.ended().is_none() && came_back.await.is_ok();
    drop(reading);
    if is_back {
        return Ok(true);
    }
    match arrivals.inbox.ended() {
        Some(end) if is_full(&end) => Ok(false),
        _ => Err(arrivals.failure()),
    }
}
