//! How a connection is closed: group 7.

use super::Cases;
use super::case::{BROKEN, Case, End, fragments, request};
use super::frame::{CLOSE, Frame, PING, TEXT};

/// A text that is no UTF-8: a surrogate is among its characters.
const NO_UTF8: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited";

/// A close is answered with its own code, and nothing after it is heard; codes and reasons that may not be on the wire break
/// the protocol.
pub(crate) fn closes() -> Cases {
    let closed = |name: &str| Case::new(format!("7: {name}"), End::Closed(&[1000]));
    let close = || Frame::close(1000, "");
    let [first, second] =
        <[Frame; 2]>::try_from(fragments(request("a").as_bytes(), 20)).expect("two fragments");
    let mut cases = vec![
        Case::new("7: a message, then a close", End::Sound).echo("Hello, world!"),
        closed("two closes")
            .send(close())
            .send(Frame::new(CLOSE, "")),
        closed("a ping after a close")
            .send(close())
            .send(Frame::new(PING, "")),
        closed("a message after a close")
            .send(close())
            .send(Frame::new(TEXT, request("a"))),
        closed("a close within a message")
            .send(first)
            .send(close())
            .send(second),
        Case::new("7: a message of 40 KiB, then a close", End::Sound).echo("a".repeat(40 << 10)),
        closed("a reason").send(Frame::close(1000, "Hello, world!")),
        closed("a reason of 123 bytes").send(Frame::close(1000, [b'*'; 123])),
        Case::new("7: a close without a code", End::Closed(&[1000, 1005]))
            .send(Frame::new(CLOSE, "")),
        Case::new("7: half a code", BROKEN).send(Frame::new(CLOSE, "a")),
        Case::new("7: a reason of 124 bytes", BROKEN).send(Frame::close(1000, [b'*'; 124])),
        Case::new("7: a reason that is no UTF-8", End::Failed(&[1002, 1007]))
            .send(Frame::close(1000, NO_UTF8)),
    ];
    let sound = SOUND.map(|(code, answer)| (code, End::Closed(answer)));
    let broken = BROKEN_CODES.map(|code| (code, BROKEN));
    for (code, end) in sound.into_iter().chain(broken) {
        for reason in ["", "a reason"] {
            let case = Case::new(format!("7: code {code}, reason {reason:?}"), end.clone());
            cases.push(case.send(Frame::close(code, reason)));
        }
    }
    Cases(cases)
}

/// The codes that may be on the wire, each with the codes that it may be answered with: itself, or a normal close.
const SOUND: [(u16, &[u16]); 13] = [
    (1000, &[1000]),
    (1001, &[1000, 1001]),
    (1002, &[1000, 1002]),
    (1003, &[1000, 1003]),
    (1007, &[1000, 1007]),
    (1008, &[1000, 1008]),
    (1009, &[1000, 1009]),
    (1010, &[1000, 1010]),
    (1011, &[1000, 1011]),
    (3000, &[1000, 3000]),
    (3999, &[1000, 3999]),
    (4000, &[1000, 4000]),
    (4999, &[1000, 4999]),
];

/// Codes that may not be on the wire, or mean nothing.
const BROKEN_CODES: [u16; 13] = [
    0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
];
