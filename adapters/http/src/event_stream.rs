//! The body of a response with server-sent events.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use midplane::{Connection, ConnectionEnd, Event, Hold, Item, Timer};

use crate::draining::{Draining, return_after};

/// How often a comment goes to an idle client, below the 60 s after which many proxies cut an idle response.
const IDLE: Duration = Duration::from_secs(20);

/// A stream of blocks of server-sent events, which ends with the connection or when the plane drains.
///
/// A text is a block with its lines as `data`. Bytes are a block with the event `binary` and base64 as data. A loss is a
/// block with the event `lost` and the number of events, and a report that events may be missing one with the event
/// `missed`. An idle client gets a comment every 20 s. When the plane drains, within its [spread](midplane::Plane::spread),
/// the last block is a `retry` of [one to two seconds](return_after): browsers come back behind it. A close of the plane waits until the stream is dropped.
pub struct EventStream {
    connection: Connection,
    timer: Arc<dyn Timer>,
    encode: Encode,
    first: Option<Bytes>,
    idle: BoxFuture<'static, ()>,
    draining: Draining,
    /// The client is told that the server goes, behind what waits.
    leaving: bool,
    ended: bool,
    _hold: Hold,
}

type Encode = Box<dyn FnMut(Item) -> Option<Bytes> + Send>;

impl EventStream {
    /// The stream of this connection.
    #[must_use]
    pub fn new(connection: Connection, timer: Arc<dyn Timer>) -> Self {
        let hold = connection.plane().hold();
        let draining = Draining::new(connection.plane().clone(), timer.clone());
        Self {
            connection,
            idle: timer.sleep(IDLE),
            timer,
            encode: Box::new(|item| Some(block(&item))),
            first: None,
            draining,
            leaving: false,
            ended: false,
            _hold: hold,
        }
    }

    /// Makes the blocks of items by this function, which leaves out what it gives nothing for. [`block`] is what is used
    /// unless it is set.
    #[must_use]
    pub fn encode(mut self, encode: impl FnMut(Item) -> Option<Bytes> + Send + 'static) -> Self {
        self.encode = Box::new(encode);
        self
    }

    /// Sends this event before all others: a snapshot, read after the connection joined its targets.
    #[must_use]
    pub fn first(mut self, event: Event) -> Self {
        self.first = (self.encode)(Item::Event(event));
        self
    }

    fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if !self.leaving && self.draining.poll(context).is_ready() {
            // What waits still comes, and nothing more: a mailbox that is never empty would hold the end back for ever.
            self.leaving = true;
            drop(self.connection.attachment().detach());
        }
        loop {
            match self.connection.poll_next_unpin(context) {
                Poll::Ready(Some(item)) => {
                    if let Some(block) = (self.encode)(item) {
                        self.idle = self.timer.sleep(IDLE);
                        return Poll::Ready(Some(block));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(self.retry()),
                Poll::Pending => break,
            }
        }
        if self.idle.poll_unpin(context).is_ready() {
            self.idle = self.timer.sleep(IDLE);
            return Poll::Ready(Some(Bytes::from_static(b":\n\n")));
        }
        Poll::Pending
    }

    /// The last block where the server goes, whether this client's moment had come or the plane was closed before.
    fn retry(&mut self) -> Option<Bytes> {
        self.ended = true;
        if !self.leaving && self.connection.end() != Some(ConnectionEnd::Closed) {
            return None;
        }
        Some(format!("retry: {}\n\n", return_after().as_millis()).into())
    }
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let block = std::task::ready!(self.poll_block(context));
        self.ended |= block.is_none();
        Poll::Ready(block)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// The block of an item, as [`EventStream`] says.
#[must_use]
pub fn block(item: &Item) -> Bytes {
    match item {
        Item::Event(event) => match event.as_text() {
            Some(text) => lines("", text),
            None => lines("event: binary\n", &STANDARD.encode(event.bytes())),
        },
        Item::Lost(events) => lines("event: lost\n", &events.to_string()),
        // By the HTML standard a block whose data is empty is dropped.
        _ => lines("event: missed\n", "true"),
    }
    .into()
}

/// A line of data for each line of the text: `\r\n`, `\n` and `\r` all end one.
fn lines(head: &str, text: &str) -> String {
    let mut block = String::with_capacity(head.len() + text.len() + 16);
    block.push_str(head);
    let mut rest = text;
    loop {
        let end = rest.find(['\r', '\n']);
        let (line, behind) = end.map_or((rest, None), |at| {
            let two = rest[at..].starts_with("\r\n");
            (&rest[..at], Some(&rest[at + 1 + usize::from(two)..]))
        });
        block.push_str("data: ");
        block.push_str(line);
        block.push('\n');
        match behind {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    block.push('\n');
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(item: &Item) -> String {
        String::from_utf8(block(item).to_vec()).unwrap()
    }

    #[test]
    fn every_kind_of_line_end_begins_another_line_of_data() {
        for (text, expected) in [
            ("one", "data: one\n\n"),
            ("", "data: \n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
            (
                "data: x\nevent: lost",
                "data: data: x\ndata: event: lost\n\n",
            ),
        ] {
            assert_eq!(shown(&Item::Event(Event::text(text))), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_has_an_event_of_its_own() {
        let bytes = Item::Event(Event::binary(vec![0xff, 0]));
        assert_eq!(shown(&bytes), "event: binary\ndata: /wA=\n\n");
        assert_eq!(shown(&Item::Lost(7)), "event: lost\ndata: 7\n\n");
    }
}
