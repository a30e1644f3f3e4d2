//! One WebSocket from its upgrade to its end.

use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, join, select};
use futures::stream::{SplitSink, SplitStream};
use futures::{FutureExt, SinkExt, StreamExt};
use midplane::{Associate, Error, Plane};
use midplane_http::{Alive, Close, Outgoing, Pump};
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::message;
use crate::ws::Encode;

/// How long the client may take nothing of what is written.
const STUCK: Duration = Duration::from_secs(30);

/// How long it may do so once the plane drains, and how long its own close is waited for.
const HURRY: Duration = Duration::from_secs(2);

/// Messages that are written between two flushes at most.
const BATCH: usize = 64;

/// Messages of the client that are read ahead of the application.
const AHEAD: usize = 1;

pub(crate) struct Session {
    pub(crate) pump: Pump,
    /// The associations that are not heard by every node yet.
    pub(crate) joining: Vec<Associate>,
    pub(crate) encode: Encode,
}

impl Session {
    /// Writes what the pump gives, reads what the client sends, and runs the application's task beside.
    pub(crate) async fn run<F, T>(self, socket: WebSocket, task: F)
    where
        F: FnOnce(Client) -> T,
        T: Future<Output = Result<(), Close>>,
    {
        let Self {
            mut pump,
            joining,
            encode,
        } = self;
        let plane = pump.connection().plane().clone();
        // A close of the plane waits for this client's last words.
        let hold = plane.hold();
        let (alive, farewell) = (pump.alive(), pump.farewell());
        let (sink, stream) = socket.split();
        let (requests, received) = mpsc::channel(AHEAD);
        let client = Client::new(plane.clone(), pump.connection().handle(), received);
        let (over, closing) = oneshot::channel();

        let reading = async {
            read(stream, requests, &alive, closing).await;
            drop(hold);
        };
        let serving = async {
            let outcome = match joined(joining).await {
                Ok(()) => task(client).await,
                Err(error) => Err(error.into()),
            };
            let close = outcome.err().unwrap_or_else(Close::normal);
            farewell.map(|farewell| farewell.send(close));
        };
        // Kept to the end: what a client that is gone had sent before is still to be read.
        let mut over = Some(over);
        let writing = async {
            if write(pump, sink, &*encode, &plane).await == Written::Ended {
                over.take().map(|over| over.send(()));
            }
        };
        join(join(reading, writing), serving).await;
    }
}

async fn joined(joining: Vec<Associate>) -> Result<(), Error> {
    for associate in joining {
        associate.await?;
    }
    Ok(())
}

/// Gives the client's messages to the application until the client is gone or is being closed. What comes behind that is
/// read and dropped: a socket that is closed with bytes unread is reset, and what was written last is lost with it.
async fn read(
    mut stream: SplitStream<WebSocket>,
    mut requests: mpsc::Sender<Message>,
    alive: &Alive,
    mut closing: oneshot::Receiver<()>,
) {
    loop {
        let message = match select(stream.next(), &mut closing).await {
            Either::Left((Some(Ok(message)), _)) => message,
            Either::Left(_) => return,
            Either::Right(_) => break,
        };
        alive.heard();
        match message {
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => break,
            message => {
                alive.set_busy(true);
                let given = select(requests.send(message), &mut closing).await;
                alive.set_busy(false);
                if let Either::Right(_) = given {
                    break;
                }
            }
        }
    }
    drop(requests);
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = timeout(HURRY, rest).await;
}

/// Why nothing more is written.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// The close was written, or the client takes nothing any more.
    Ended,
    /// The client is gone.
    Gone,
}

/// Writes until the pump closes, the client takes nothing any more, or is gone.
async fn write(
    mut pump: Pump,
    mut sink: SplitSink<WebSocket, Message>,
    encode: &(dyn Fn(midplane::Item) -> Option<Message> + Send + Sync),
    plane: &Plane,
) -> Written {
    while let Some(outgoing) = pump.next().await {
        let batch = async {
            let mut next = Some(outgoing);
            let mut over = false;
            for _ in 0..BATCH {
                let Some(outgoing) = next else { break };
                let message = match outgoing {
                    Outgoing::Item(item) => encode(item),
                    Outgoing::Ping => Some(Message::Ping(Bytes::new())),
                    Outgoing::Close(close) => {
                        over = true;
                        Some(message::close(close))
                    }
                    _ => None,
                };
                if let Some(message) = message {
                    sink.feed(message).await?;
                }
                if over {
                    break;
                }
                next = pump.next().now_or_never().flatten();
            }
            sink.flush().await?;
            Ok::<bool, axum::Error>(over)
        };
        let draining = async {
            plane.draining().await;
            sleep(HURRY).await;
        };
        let (draining, limit) = (pin!(draining), pin!(sleep(STUCK)));
        let stuck = select(draining, limit);
        match select(pin!(batch), stuck).await {
            Either::Left((Ok(false), _)) => {}
            Either::Left((Err(_), _)) => return Written::Gone,
            Either::Left((Ok(true), _)) | Either::Right(_) => return Written::Ended,
        }
    }
    Written::Ended
}
