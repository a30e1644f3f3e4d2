//! Frames that no node sent.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::envelope::{
    Decoded, Frame, FrameWriter, Header, Heartbeat, LaneProgress, Message, NodeId,
};
use midplane_core::{Event, Target};

use midplane_testkit::random::{Draw, Random};

/// What the forged events say.
pub(crate) const TEXT: &str = "forged";

pub(crate) struct Forgery {
    pub(crate) bytes: Bytes,
    /// Whose it seems to be.
    pub(crate) origin: NodeId,
    /// The lanes whose numbers it may be believed to tell of.
    pub(crate) lanes: Range<u32>,
    /// Whether it may be believed to tell the time of that node.
    pub(crate) stamped: bool,
}

/// A frame of `origin`, or of nobody, with a number far above the last one `used` on its lane. It may also be
/// no frame at all.
pub(crate) fn frame(
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
    let first = match random.below(3) {
        0 => u64::MAX - random.below(4),
        1 => used + 200 + random.below(100_000),
        _ => used + 200 + random.below(1 << 40),
    };
    let sent = match random.below(3) {
        0 => Duration::from_micros(u64::MAX),
        1 => Duration::ZERO,
        _ => Duration::from_millis(random.below(100_000)),
    };
    let audience = Target::topic("t").unwrap().into();
    let event = Message::Publish {
        scope: Default::default(),
        audience,
        event: Event::text(TEXT),
    };
    let earlier = random.below(6) as usize;
    let lasts = |last| vec![last; earlier];
    let heartbeat = Message::Heartbeat(Heartbeat {
        version: "forged".into(),
        hello: random.once_in(2),
        sent,
        earlier: vec![sent; earlier],
        lanes: (0..random.below(5) as u32)
            .map(|lane| LaneProgress {
                lane,
                lasts: lasts(first),
            })
            .collect(),
    });
    let messages: &[Message] = match random.below(6) {
        0 => {
            let noise = vec![random.draw() as u8; random.below(60) as usize];
            return noise_or_frame(noise.into(), origin, limit);
        }
        1 => {
            let later = [&[2, 0][..], &[random.draw() as u8; 30]].concat();
            return unbelieved(later.into(), origin);
        }
        2 => &[event],
        3 => &[Message::Stamp(sent), event],
        4 => &[heartbeat],
        _ => &[Message::Stamp(sent), heartbeat],
    };
    // Which lanes were used at all is told by heartbeats alone.
    let lanes = match messages.last() {
        Some(Message::Heartbeat(_)) => 0..4,
        _ => lane..lane + 1,
    };
    let header = Header {
        origin,
        lane,
        first,
    };
    let mut writer = FrameWriter::new(header, limit).unwrap();
    for message in messages {
        let _ = writer.push(message);
    }
    Forgery {
        bytes: writer.finish(),
        origin,
        lanes,
        stamped: matches!(messages, [Message::Stamp(_), ..]),
    }
}

/// Enough bytes of 1 are a frame of the node whose id they are, and use up numbers of its.
fn noise_or_frame(noise: Bytes, origin: NodeId, limit: usize) -> Forgery {
    match Frame::decode(&noise, limit) {
        Ok(Decoded::Frame(frame)) => Forgery {
            origin: frame.header().origin,
            bytes: noise,
            lanes: 0..4,
            stamped: true,
        },
        _ => unbelieved(noise, origin),
    }
}

fn unbelieved(bytes: Bytes, origin: NodeId) -> Forgery {
    Forgery {
        bytes,
        origin,
        lanes: 0..0,
        stamped: false,
    }
}
