//! What is written by hand: a client of the driver that publishes, another that is subscribed, and a loop around each
//! that connects again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use redis::{Client, RedisResult};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::journal::Journal;
use crate::across::{NodeRuntime, failed};

const CHANNEL: &str = "by-hand:000";

/// The most events of a pipeline.
const PIPELINE: usize = 128;

/// The pause before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// A node that is written by hand.
pub(super) struct ByHand {
    events: UnboundedSender<Vec<u8>>,
    _runtime: NodeRuntime,
}

impl ByHand {
    pub(super) fn start(url: &str, journal: Arc<Journal>) -> io::Result<Self> {
        let client = Client::open(url).map_err(failed)?;
        let (events, unsent) = unbounded_channel();
        let runtime = NodeRuntime::start()?;
        runtime.run(async move {
            tokio::spawn(publish(client.clone(), unsent));
            tokio::spawn(subscribe(client, journal));
        })?;
        Ok(Self {
            events,
            _runtime: runtime,
        })
    }

    /// Publishes, however much waits already.
    pub(super) fn publish(&self, event: Vec<u8>) -> io::Result<()> {
        self.events.send(event).map_err(failed)
    }
}

/// Publishes what is left here, and again what the server did not confirm.
async fn publish(client: Client, mut events: UnboundedReceiver<Vec<u8>>) {
    let mut unsent = Vec::new();
    loop {
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
            loop {
                if unsent.is_empty() && events.recv_many(&mut unsent, PIPELINE).await == 0 {
                    return;
                }
                let mut pipeline = redis::pipe();
                for event in &unsent {
                    pipeline.cmd("PUBLISH").arg(CHANNEL).arg(&**event).ignore();
                }
                if pipeline.query_async::<()>(&mut connection).await.is_err() {
                    break;
                }
                unsent.clear();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn subscribe(client: Client, journal: Arc<Journal>) {
    loop {
        // What ended the subscription does not matter: there is a next one.
        let _ = receive(&client, &journal).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn receive(client: &Client, journal: &Journal) -> RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(CHANNEL).await?;
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        journal.note(message.get_payload_bytes());
    }
    Ok(())
}
