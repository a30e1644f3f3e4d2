//! Does one thing so many times, to be counted under callgrind: `instructions CASE TIMES`.

use std::hint::black_box;
use std::process::ExitCode;

use benches::{Midplane, Plane, count_only, event, id, targets};
use futures::FutureExt;
use midplane::envelope::{Decoded, Frame, FrameWriter, Header, Message, NodeId};
use midplane::{Audience, Backplane, Event, Scope, Sink, Target};

/// Bytes that a frame may have.
const LIMIT: usize = 1 << 20;

/// Messages of a frame that gathers what was published while another was written.
const MESSAGES: usize = 64;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(case), Some(times)) = (words.next(), words.next()) else {
        return ExitCode::FAILURE;
    };
    let Ok(times) = times.parse() else {
        return ExitCode::FAILURE;
    };
    match &*case {
        "publish" => publish(1, times, || ()),
        "publish-copied" => publish(1, times, || drop(black_box(vec![0_u8; 64]))),
        "deliver" => publish(1_000, times, || ()),
        "cycle" => cycle(times),
        "encode-64" => encode(MESSAGES, 64, times),
        "encode-1024" => encode(MESSAGES, 1_024, times),
        "decode-64" => decode(MESSAGES, 64, times),
        "decode-1024" => decode(MESSAGES, 1_024, times),
        "decode-alone-1024" => decode(1, 1_024, times),
        "decode-alone-65536" => decode(1, 65_536, times),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn room() -> Target {
    Target::org("everyone").unwrap()
}

fn publish(members: usize, times: usize, beside: impl Fn()) {
    let mut plane = Midplane::empty();
    for number in 0..members {
        plane.attach(&id(number), count_only(number));
        plane.join_last(&room());
    }
    let (audience, event) = (Audience::from(room()), event());
    for _ in 0..times {
        beside();
        black_box(plane.publish(&audience, &event));
    }
}

/// Attach, four associates, detach, beside enough others that the tables do not grow and shrink.
fn cycle(times: usize) {
    let mut plane = Midplane::empty();
    for number in 0..1_000 {
        plane.attach(&id(number), count_only(number));
        for target in targets(number) {
            plane.join_last(&target);
        }
    }
    let (guest, targets) = (id(1_000), targets(1_000));
    for number in 0..times {
        let sink = Sink::new(count_only(number));
        let attachment = plane.plane.attach(guest.clone(), sink);
        for target in &targets {
            black_box(attachment.associate(target).now_or_never());
        }
        black_box(attachment.detach().now_or_never());
    }
}

fn message(bytes: usize) -> Message {
    Message::Publish {
        scope: Scope::default(),
        audience: room().into(),
        event: Event::binary(vec![b'x'; bytes]),
    }
}

#[expect(clippy::unwrap_used, reason = "the frame has room for its messages")]
fn frame(messages: usize, message: &Message) -> bytes::Bytes {
    let header = Header {
        origin: NodeId([7; 16]),
        lane: 0,
        first: 1,
    };
    let mut writer = FrameWriter::new(header, LIMIT).unwrap();
    for _ in 0..messages {
        writer.push(message).unwrap();
    }
    writer.finish()
}

fn encode(messages: usize, bytes: usize, times: usize) {
    let message = message(bytes);
    for _ in 0..times {
        black_box(frame(messages, &message));
    }
}

fn decode(messages: usize, bytes: usize, times: usize) {
    let frame = frame(messages, &message(bytes));
    for _ in 0..times {
        if let Ok(Decoded::Frame(frame)) = Frame::decode(&frame, LIMIT) {
            for message in frame.messages() {
                // What cannot be decoded costs less, and the guard has a lower bound.
                let _ = black_box(message);
            }
        }
    }
}
