//! What is sent in the place of a frame that the bus does not take.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::bus::Outbound;
use crate::envelope::{Frame, FrameWriter, HEADER, Header, Message, Signatures};

/// What becomes of a frame that the bus does not take.
#[derive(Debug, Default)]
pub struct Refused {
    /// How many of its events will not come.
    pub lost: u64,
    /// What is to be sent in its place, in this order.
    pub instead: Vec<Outbound>,
}

/// A frame that stands in the place of another, with its first and last number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) frame: Bytes,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Part {
    pub(super) fn events(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The frames in the place of one: its halves, or of one event what says that it will not come. None if the frame says that
/// already.
pub(super) fn parts(frame: &Frame, signatures: Option<&Signatures>) -> Vec<Part> {
    let read = frame.messages().map(|(_, message)| message.ok());
    let Some(messages) = read.collect::<Option<Vec<Message>>>() else {
        return Vec::new();
    };
    let (limit, header) = (frame.size() + HEADER, *frame.header());
    let parts = match messages.as_slice() {
        [Message::Withdrawn] => None,
        [_] => part(header, &[Message::Withdrawn], limit, signatures).map(|part| [part].into()),
        several => {
            let (front, back) = several.split_at(several.len() / 2);
            let behind = Header {
                first: header.first.saturating_add(front.len() as u64),
                before: Duration::ZERO,
                ..header
            };
            let front = part(header, front, limit, signatures);
            let back = part(behind, back, limit, signatures);
            front.zip(back).map(|(front, back)| [front, back].into())
        }
    };
    parts.unwrap_or_default()
}

fn part(
    header: Header,
    messages: &[Message],
    limit: usize,
    signatures: Option<&Signatures>,
) -> Option<Part> {
    let mut writer = FrameWriter::with_capacity(header, limit, HEADER, signatures).ok()?;
    for message in messages {
        writer.push(message).ok()?;
    }
    let last = header.first + writer.numbered().checked_sub(1)?;
    Some(Part {
        frame: writer.finish(),
        first: header.first,
        last,
    })
}
