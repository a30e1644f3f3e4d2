//! `instructions CASE TIMES` repeats one case, for callgrind to count.

use std::hint::black_box;
use std::process::ExitCode;

use futures::FutureExt;
use instructions::{event, id, idle_sink, room, targets};
use midplane::envelope::{Decoded, Frame, FrameWriter, Header, Message, NodeId};
use midplane::{Attachment, Audience, Backplane, Event, Local, Scope, Sink, Target};

/// The most bytes of a frame.
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

/// Attaches a connection with these targets.
fn connect(plane: &Local, number: usize, targets: &[Target]) -> Attachment {
    let attachment = plane.attach(id(number), Sink::new(idle_sink(number)));
    for target in targets {
        black_box(attachment.associate(target).now_or_never());
    }
    attachment
}

fn publish(members: usize, times: usize, beside: impl Fn()) {
    let plane = Local::new();
    let connections = 0..members;
    let _connections: Vec<_> = connections
        .map(|number| connect(&plane, number, &[room()]))
        .collect();
    let (audience, event) = (Audience::from(room()), event());
    for _ in 0..times {
        beside();
        let _ = black_box(plane.publish(&audience, &event));
    }
}

/// Attach, four associates, detach, beside enough connections that no table grows or shrinks.
fn cycle(times: usize) {
    let plane = Local::new();
    let connections = 0..1_000;
    let _connections: Vec<_> = connections
        .map(|number| connect(&plane, number, &targets(number, number / 10)))
        .collect();
    let targets = targets(1_000, 100);
    for _ in 0..times {
        let guest = connect(&plane, 1_000, &targets);
        black_box(guest.detach().now_or_never());
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
    let header = Header::new(NodeId([7; 16]), 0, 1);
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
