//! Control frames, what is reserved, and fragments: groups 2 to 5.

use super::Cases;
use super::case::{Answer, BROKEN, Case, Chop, End, OCTETS, WHOLE, fragments as cut, request};
use super::frame::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};

const HELLO: &str = "Hello, world!";
const NO_TEXT: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

/// Pings are answered with what they carry, in their order; a pong nobody asked for changes nothing.
pub(crate) fn pings() -> Cases {
    let unasked = || Frame::new(PONG, "a pong that nobody asked for");
    let sound = |name: &str| Case::new(format!("2: {name}"), End::Sound);
    let ten =
        |case: Case| (0..10).fold(case, |case, number| case.ping(format!("payload-{number}")));
    Cases(vec![
        sound("a ping without a payload").ping(""),
        sound("a ping with text").ping(HELLO),
        sound("a ping with bytes").ping(NO_TEXT),
        sound("a ping of 125 bytes").ping([0xfe; 125]),
        Case::new("2: a ping of 126 bytes", BROKEN).send(Frame::new(PING, [0xfe; 126])),
        sound("a ping of 125 bytes")
            .ping([0xfe; 125])
            .chopped(OCTETS),
        sound("a pong without a payload").send(Frame::new(PONG, "")),
        sound("a pong").send(unasked()),
        sound("a pong before a ping")
            .send(unasked())
            .ping("ping payload"),
        ten(sound("ten pings")),
        ten(sound("ten pings")).chopped(OCTETS),
    ])
}

/// Reserved bits and opcodes break the protocol, whatever came before.
pub(crate) fn reserved() -> Cases {
    let mut cases = Vec::new();
    for bits in 1..8 {
        for frame in [
            Frame::new(TEXT, HELLO),
            Frame::new(BINARY, NO_TEXT),
            Frame::new(PING, HELLO),
            Frame::new(CLOSE, ""),
        ] {
            let name = format!("3: reserved bits {bits} in opcode {}", frame.opcode);
            let frame = frame.reserved(bits);
            cases.push(Case::new(&*name, BROKEN).send(frame.clone()));
            for chop in [WHOLE, Chop::Frames, OCTETS] {
                let case = Case::new(format!("{name} after a message"), BROKEN);
                let case = case.echo(HELLO).send(frame.clone());
                cases.push(case.send(Frame::new(PING, "")).chopped(chop));
            }
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in ["", "a payload"] {
            let frame = Frame::new(opcode, payload);
            let name = format!("4: opcode {opcode} with {payload:?}");
            cases.push(Case::new(&*name, BROKEN).send(frame.clone()));
            for chop in [WHOLE, OCTETS] {
                let case = Case::new(format!("{name} after a message"), BROKEN);
                let case = case.echo(HELLO).send(frame.clone());
                cases.push(case.send(Frame::new(PING, "")).chopped(chop));
            }
        }
    }
    Cases(cases)
}

/// A message may come in fragments with control frames between them; a control frame may not, and no fragment comes alone.
pub(crate) fn fragments() -> Cases {
    let ping = |payload: &str| Frame::new(PING, payload);
    let alone = || Frame::new(CONTINUATION, "continues nothing");
    let sound = |name: &str| Case::new(format!("5: {name}"), End::Sound);
    let broken = |name: &str| Case::new(format!("5: {name}"), BROKEN);
    let mut cases = Vec::new();
    for chop in [WHOLE, Chop::Frames, OCTETS] {
        let two = sound("two fragments").echo_around(HELLO, &[&[]]);
        let around = sound("two fragments around a ping").echo_around(HELLO, &[&[ping("between")]]);
        let pings = sound("five fragments around two pings")
            .echo_around(HELLO, &[&[], &[ping("first")], &[], &[ping("second")]]);
        let empty = sound("empty fragments around a request")
            .send(Frame::new(TEXT, "").unfinished())
            .send(Frame::new(CONTINUATION, request(HELLO)).unfinished())
            .send(Frame::new(CONTINUATION, ""))
            .expect(Answer::Echo(HELLO.into()));
        cases.extend([two, around, pings, empty].map(|case| case.chopped(chop)));
        for first in [alone(), alone().unfinished()] {
            let case = broken("a continuation of nothing").send(first);
            cases.push(case.echo(HELLO).chopped(chop));
        }
        let after = broken("a continuation after the last fragment").echo_around(HELLO, &[&[]]);
        cases.push(after.send(alone().unfinished()).chopped(chop));
        for opcode in [TEXT, BINARY] {
            let case = broken("a message begins within another");
            let case = case.send(Frame::new(TEXT, "first").unfinished());
            cases.push(case.send(Frame::new(opcode, "second")).chopped(chop));
        }
        for opcode in [PING, PONG, CLOSE] {
            let case = broken(&format!("opcode {opcode} in two fragments"));
            let case = case.send(Frame::new(opcode, "").unfinished());
            cases.push(case.send(Frame::new(CONTINUATION, "second")).chopped(chop));
        }
    }
    let every = cut(request(HELLO).as_bytes(), 1);
    let case = every
        .into_iter()
        .fold(sound("a fragment for each byte"), Case::send);
    cases.push(case.expect(Answer::Echo(HELLO.into())));
    Cases(cases)
}
