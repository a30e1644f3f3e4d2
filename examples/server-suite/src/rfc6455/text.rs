//! Text that is UTF-8, and text that is not: group 6.

use std::str;

use super::Cases;
use super::case::{Answer, Case, Chop, End, OCTETS, WHOLE};
use super::frame::{CONTINUATION, Frame, TEXT};

const NO_TEXT: End = End::Failed(&[1007]);

/// Text is taken for what it is, however it is cut, and what is no UTF-8 ends the connection with 1007.
pub(crate) fn utf8() -> Cases {
    let mut cases = Vec::new();
    for bytes in sequences() {
        for chop in [WHOLE, OCTETS] {
            cases.push(case(&bytes, None).chopped(chop));
        }
        // Cut within the sequence, where it has a middle.
        cases.push(case(&bytes, Some(bytes.len().div_ceil(2))).chopped(Chop::Frames));
    }
    let empty = Case::new("6: an empty text", End::Sound);
    let empty = empty.send(Frame::new(TEXT, ""));
    cases.push(empty.expect(Answer::Error("malformed".into())));
    // That a text goes wrong shows before its last frame came.
    let late = Case::new("6: the text goes wrong in its first fragment", NO_TEXT);
    let late = late.send(Frame::new(TEXT, b"\xce\xba\xed\xa0\x80").unfinished());
    cases.push(late.send(Frame::new(CONTINUATION, "never heard")));
    Cases(cases)
}

/// A request with these bytes in its text, in one frame or in two that are cut so far behind the beginning of the bytes.
fn case(bytes: &[u8], cut: Option<usize>) -> Case {
    let text = str::from_utf8(bytes).ok();
    let message = [&br#"{"request":"ping","id":""#[..], bytes, br#""}"#].concat();
    let name = format!("6: {}", bytes.escape_ascii());
    let case = match text {
        None => Case::new(name, NO_TEXT),
        // JSON has control characters in no text.
        Some(text) if text.contains(|character| character < ' ') => {
            Case::new(name, End::Sound).expect(Answer::Error("malformed".into()))
        }
        Some(text) => Case::new(name, End::Sound).expect(Answer::Echo(text.into())),
    };
    let Some(cut) = cut else {
        return case.send(Frame::new(TEXT, message));
    };
    let (first, second) = message.split_at(24 + cut);
    case.send(Frame::new(TEXT, first).unfinished())
        .send(Frame::new(CONTINUATION, second))
}

/// The sequences of Markus Kuhn's stress test for decoders (UTF-8-test.txt), and every prefix of a Greek word. Whether one is
/// UTF-8 is for Rust's library to say.
fn sequences() -> Vec<Vec<u8>> {
    let word = "κόσμε".as_bytes();
    let mut sequences: Vec<Vec<u8>> = (1..=word.len())
        .map(|length| word[..length].to_vec())
        .collect();
    sequences.extend(SEQUENCES.iter().map(|bytes| bytes.to_vec()));
    // Continuations, and beginnings each followed by a space.
    sequences
        .extend((1..=6).map(|length| [0x80, 0xbf].iter().copied().cycle().take(length).collect()));
    sequences.push((0x80..0xc0).collect());
    for range in [
        0xc0..=0xdf,
        0xe0..=0xef,
        0xf0..=0xf7,
        0xf8..=0xfb,
        0xfc..=0xfd,
    ] {
        sequences.push(range.flat_map(|byte| [byte, b' ']).collect());
    }
    sequences.push(UNFINISHED.concat());
    sequences.extend(UNFINISHED.iter().map(|bytes| bytes.to_vec()));
    // The last two characters of each plane are none, and valid all the same.
    for plane in 0..=16 {
        let last = [0xfffe, 0xffff].map(|low| plane << 16 | low);
        let last = last.into_iter().filter_map(char::from_u32);
        sequences.extend(last.map(|character| character.to_string().into_bytes()));
    }
    // Surrogates, alone and in pairs.
    let high = [
        b"\xed\xa0\x80",
        b"\xed\xad\xbf",
        b"\xed\xae\x80",
        b"\xed\xaf\xbf",
    ];
    let low = [b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"];
    sequences.extend(high.iter().chain(&low).map(|bytes| bytes.to_vec()));
    for high in high {
        sequences.extend([low[0], low[2]].map(|low| [&high[..], low].concat()));
    }
    sequences
}

/// What misses its last byte.
const UNFINISHED: [&[u8]; 10] = [
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

const SEQUENCES: [&[u8]; 43] = [
    // Text with a character of each length.
    "hello$world".as_bytes(),
    "hello¢world".as_bytes(),
    "hello€world".as_bytes(),
    "hello𤭢world".as_bytes(),
    // The first and the last of each length; of more than four bytes there is none.
    b"\x00",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    // Before and after what is left out, and after the last.
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xf4\x90\x80\x80",
    // Never in UTF-8.
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    // Longer than need be: a slash, the last of each length, and zero.
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x80\x80\x80\xaf",
    b"\xfc\x80\x80\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf8\x87\xbf\xbf\xbf",
    b"\xfc\x83\xbf\xbf\xbf\xbf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xf8\x80\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80\x80",
    // Special characters.
    b"\xef\xbf\xb9",
    b"\xef\xbf\xba",
    b"\xef\xbf\xbb",
    b"\xef\xbf\xbc",
];
