//! What axum calls the messages of a session.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use bytes::Bytes;
use midplane::Item;
use midplane_http::{Dialect, Frame, Incoming, Outgoing, closing, frame};

/// Makes messages of items, or nothing of those that are left out.
pub(crate) type Encode = Arc<dyn Fn(Item) -> Option<Message> + Send + Sync>;

/// Makes the message that says when to come back, or none.
pub(crate) type Hint = Arc<dyn Fn(Duration) -> Option<Message> + Send + Sync>;

/// axum's messages, of items and of the time to come back as the application has them.
pub(crate) struct AxumDialect {
    pub(crate) encode: Encode,
    pub(crate) hint: Hint,
}

impl Dialect for AxumDialect {
    type Message = Message;

    fn write(&self, outgoing: Outgoing) -> Option<Message> {
        match outgoing {
            Outgoing::Item(item) => (self.encode)(item),
            Outgoing::ReturnAfter(return_after) => (self.hint)(return_after),
            Outgoing::Ping => Some(Message::Ping(Bytes::new())),
            Outgoing::Close(close) => {
                let (code, reason) = close.into_parts();
                let reason = reason.into();
                Some(Message::Close(Some(CloseFrame { code, reason })))
            }
            _ => None,
        }
    }

    fn read(&self, message: &Message) -> Incoming {
        match message {
            Message::Text(_) | Message::Binary(_) => Incoming::Request,
            Message::Ping(_) | Message::Pong(_) => Incoming::Sign,
            Message::Close(_) => Incoming::Close,
        }
    }
}

/// The message of an item, as [`frame`] has it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what an application sets instead"
)]
pub(crate) fn message(item: Item) -> Option<Message> {
    if let Item::Event(event) = &item
        && event.is_text()
    {
        // Clients of one event share its bytes.
        let text = Utf8Bytes::try_from(event.bytes().clone());
        return text.ok().map(Message::Text);
    }
    Some(match frame(&item) {
        Frame::Text(text) => Message::Text(text.into_owned().into()),
        Frame::Binary(bytes) => Message::Binary(bytes),
    })
}

/// The message that says when to come back, as [`closing`] has it.
pub(crate) fn hint(return_after: Duration) -> Option<Message> {
    Some(Message::Text(closing(return_after).into()))
}
