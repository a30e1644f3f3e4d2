//! Frames that no node sent.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use midplane::envelope::{
    Decoded, Frame, FrameWriter, Header, Heartbeat, LaneProgress, Message, NodeId,
};
use midplane::{Event, Scope, Target};
use midplane_testkit::random::{Draw, Random};

/// A frame that was forged.
pub(super) struct Forgery {
    pub(super) bytes: Bytes,
    /// The node in whose name it is.
    pub(super) origin: NodeId,
    /// The lanes about whose numbers a receiver may believe the frame.
    pub(super) lanes: Range<u32>,
}

/// The event in forged frames.
pub(super) fn event() -> Event {
    Event::text("forged")
}

/// A frame in the name of `origin`, or of a node that does not exist, with a number far above the last one `used` on
/// its lane, near it, or below it; or bytes that are no frame at all.
pub(super) fn forge(
    random: &mut Random,
    origin: NodeId,
    lane: u32,
    used: u64,
    limit: usize,
) -> Forgery {
    let origin = match random.below(4) {
        0 => NodeId([random.draw() as u8 | 0x80; 16]),
        _ => origin,
    };
    let first = match random.below(5) {
        3 => used + 1 + random.below(200),
        4 => 1 + random.below(used + 1),
        0 => u64::MAX - random.below(4),
        1 => used + 200 + random.below(100_000),
        _ => used + 200 + random.below(1 << 40),
    };
    let sent = match random.below(3) {
        0 => Duration::from_micros(u64::MAX),
        1 => Duration::ZERO,
        _ => Duration::from_millis(random.below(100_000)),
    };
    let event = Message::Publish {
        scope: Scope::default(),
        audience: Target::topic("t0").expect("an id of two letters").into(),
        event: event(),
    };
    let keeps = random.below(3);
    let heartbeat = Message::Heartbeat(Heartbeat {
        version: "forged".into(),
        hello: random.once_in(2),
        lanes: (0..random.below(5) as u32)
            .map(|lane| LaneProgress {
                lane,
                last: first,
                at: sent,
                keeps,
                gone: sent,
            })
            .collect(),
        ..Heartbeat::default()
    });
    let messages: &[Message] = match random.below(6) {
        0 => {
            let noise = vec![random.draw() as u8; random.below(60) as usize];
            return noise_or_frame(noise.into(), origin, limit);
        }
        1 => {
            let later = [&[3, 0][..], &[random.draw() as u8; 30]].concat();
            return unbelieved(later.into(), origin);
        }
        2 | 3 => &[event],
        _ => &[heartbeat],
    };
    // Only a heartbeat reports the numbers of other lanes.
    let lanes = match messages.last() {
        Some(Message::Heartbeat(_)) => 0..4,
        _ => lane..lane + 1,
    };
    let header = Header {
        stamp: sent,
        before: sent,
        ..Header::new(
            origin,
            lane,
            if matches!(messages, [Message::Heartbeat(_)]) {
                0
            } else {
                first
            },
        )
    };
    let mut writer = FrameWriter::new(header, limit).expect("a header fits");
    for message in messages {
        let _ = writer.push(message);
    }
    Forgery {
        bytes: writer.finish(),
        origin,
        lanes,
    }
}

/// Enough bytes of value 1 are a frame in the name of the node whose id they are, and use its numbers.
fn noise_or_frame(noise: Bytes, origin: NodeId, limit: usize) -> Forgery {
    match Frame::decode(&noise, limit) {
        Ok(Decoded::Frame(frame)) => Forgery {
            origin: frame.header().origin,
            bytes: noise,
            lanes: 0..4,
        },
        _ => unbelieved(noise, origin),
    }
}

fn unbelieved(bytes: Bytes, origin: NodeId) -> Forgery {
    Forgery {
        bytes,
        origin,
        lanes: 0..0,
    }
}

/// The lane of a frame, and its last number.
pub(super) fn last_number(bytes: &Bytes, limit: usize) -> Option<((NodeId, u32), u64)> {
    let Ok(Decoded::Frame(frame)) = Frame::decode(bytes, limit) else {
        return None;
    };
    let header = frame.header();
    let last = header.first.checked_add(frame.numbered().checked_sub(1)?)?;
    Some(((header.origin, header.lane), last))
}
