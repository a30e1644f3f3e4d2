//! Items as messages of a WebSocket.

use axum::extract::ws::{CloseFrame, Message};
use midplane::Item;
use midplane_http::Close;

/// Text of text and binary of bytes; `{"midplane":"lost","count":n}` and `{"midplane":"missed"}` of what did not come.
pub(crate) fn of(item: Item) -> Option<Message> {
    Some(match item {
        Item::Event(event) => match event.as_text() {
            Some(text) => Message::Text(text.into()),
            None => Message::Binary(event.bytes().clone()),
        },
        Item::Lost(events) => {
            Message::Text(format!(r#"{{"midplane":"lost","count":{events}}}"#).into())
        }
        Item::Missed(_) => Message::Text(r#"{"midplane":"missed"}"#.into()),
        _ => return None,
    })
}

/// The most bytes of a reason that a close frame has room for.
const REASON: usize = 123;

pub(crate) fn close(Close { code, mut reason }: Close) -> Message {
    let end = (0..=REASON).rev().find(|at| reason.is_char_boundary(*at));
    reason.truncate(end.unwrap_or(0));
    let reason = reason.into();
    Message::Close(Some(CloseFrame { code, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_two_letters() {
        let close = |reason: &str| match close(Close::new(1000, reason)) {
            Message::Close(Some(frame)) => frame.reason.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(close("short"), "short");
        assert_eq!(close(&"é".repeat(70)), "é".repeat(61));
    }
}
