//! What axum calls the messages of a session.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message};
use bytes::Bytes;
use midplane::Item;
use midplane_http::{Dialect, Frame, Incoming, Outgoing, frame};

/// Makes messages of items, or nothing of those that are left out.
pub(crate) type Encode = Arc<dyn Fn(Item) -> Option<Message> + Send + Sync>;

/// axum's messages, of items as the application has it.
pub(crate) struct AxumDialect(pub(crate) Encode);

impl Dialect for AxumDialect {
    type Message = Message;

    fn write(&self, outgoing: Outgoing) -> Option<Message> {
        match outgoing {
            Outgoing::Item(item) => self.0(item),
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
    Some(match frame(&item) {
        Frame::Text(text) => Message::Text(text.into_owned().into()),
        Frame::Binary(bytes) => Message::Binary(bytes),
    })
}
