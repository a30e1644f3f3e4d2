//! What a node of a newer release sends.

use bytes::Bytes;
use midplane::envelope::{Decoded, Frame, FrameWriter, Message};

use crate::history::EventTag;

/// The kinds of an event, and of a message without an event, that this release does not know.
const EVENT: u8 = 100;
const NOTE: u8 = 200;

/// Flags of a frame that this release does not know.
const FLAGS: u8 = 0b1010_0000;

/// Of so many events one is of a kind that this release does not know.
const NEWER: u32 = 5;

/// The frame as a newer release makes it: some events are of a kind that this release does not know, and behind them
/// stands a message without an event that is of such a kind, too. The frame itself, if that does not fit.
pub(super) fn as_newer(bytes: &Bytes, limit: usize) -> Bytes {
    newer(bytes, limit).unwrap_or_else(|| bytes.clone())
}

fn newer(bytes: &Bytes, limit: usize) -> Option<Bytes> {
    let Ok(Decoded::Frame(frame)) = Frame::decode(bytes, limit) else {
        return None;
    };
    let mut writer = FrameWriter::new(*frame.header(), limit).ok()?;
    for (_, message) in frame.messages() {
        writer.push(&newer_event(message.ok()?)).ok()?;
    }
    let body = Bytes::from_static(b"a note");
    writer.push(&Message::Unknown { kind: NOTE, body }).ok()?;
    let mut bytes = writer.finish().to_vec();
    bytes[1] |= FLAGS;
    Some(bytes.into())
}

fn newer_event(message: Message) -> Message {
    let Message::Publish { event, .. } = &message else {
        return message;
    };
    match EventTag::read(event.bytes()) {
        Some(tag) if tag.number.is_multiple_of(NEWER) => Message::Unknown {
            kind: EVENT,
            body: event.bytes().clone(),
        },
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use midplane::envelope::{Header, NodeId};
    use midplane::{Scope, Target};

    use super::*;

    #[test]
    fn one_event_in_five_is_unknown_and_has_its_number() {
        let publish = |number| Message::Publish {
            scope: Scope::default(),
            audience: Target::topic("t").expect("an id of a letter").into(),
            event: EventTag {
                publisher: 1,
                number,
            }
            .event(3),
        };
        let header = Header::new(NodeId([7; 16]), 0, 41);
        let mut writer = FrameWriter::new(header, 2_048).expect("a header fits");
        for number in 4..7 {
            writer.push(&publish(number)).expect("an event fits");
        }
        let Ok(Decoded::Frame(frame)) = Frame::decode(&as_newer(&writer.finish(), 2_048), 2_048)
        else {
            panic!("a frame of this version");
        };
        let kinds = frame.messages().map(|(number, message)| match message {
            Ok(Message::Unknown { kind, .. }) => (number, kind),
            _ => (number, 0),
        });
        let kinds: Vec<(Option<u64>, u8)> = kinds.collect();
        let note = (None, NOTE);
        assert_eq!(
            kinds,
            [(Some(41), 0), (Some(42), EVENT), (Some(43), 0), note]
        );
    }
}
