//! Items as messages of a WebSocket.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use midplane::Item;

/// The payload of a message of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Bytes),
}

/// The message of an item: text of text and binary of bytes, `{"midplane":"lost","count":n}` and `{"midplane":"missed"}` of
/// what did not come. Text goes out as it is: an application that passes on what others wrote refuses JSON objects with the
/// key `midplane`, as the example servers do, or encodes items by itself.
#[must_use]
pub fn frame(item: &Item) -> Frame<'_> {
    match item {
        Item::Event(event) => match event.as_text() {
            Some(text) => Frame::Text(text.into()),
            None => Frame::Binary(event.bytes().clone()),
        },
        Item::Lost(events) => {
            Frame::Text(format!(r#"{{"midplane":"lost","count":{events}}}"#).into())
        }
        _ => Frame::Text(r#"{"midplane":"missed"}"#.into()),
    }
}

/// The text that tells a client when to [come back](crate::Outgoing::ReturnAfter):
/// `{"midplane":"closing","reason":"the server restarts","return_after_ms":1480}`.
#[must_use]
pub fn closing(return_after: Duration) -> String {
    let millis = return_after.as_millis();
    format!(r#"{{"midplane":"closing","reason":"the server restarts","return_after_ms":{millis}}}"#)
}
