//! Messages of every size, however they are cut, and many of them: groups 1, 9 and 10.

use super::Cases;
use super::case::{Answer, Case, Chop, End, fragments, request};

/// Messages of every size are answered, however they are cut into frames and frames into pieces. The largest has 4 MiB.
pub(crate) fn messages() -> Cases {
    let sound = |name: String| Case::new(name, End::Sound);
    let text = |length: usize| {
        "BAsd7&jh23"
            .chars()
            .cycle()
            .take(length)
            .collect::<String>()
    };
    let mut cases = Vec::new();
    // Around each border of the header's three lengths, and of the buffers on the way.
    for length in [
        0, 1, 90, 97, 98, 99, 100, 125, 126, 127, 128, 1_023, 4_096, 65_500, 65_507, 65_508, 65_536,
    ] {
        cases.push(sound(format!("1: text of {length} bytes")).echo(text(length)));
        cases.push(sound(format!("1: {length} bytes")).binary(vec![0xfe; length]));
    }
    for chop in [997, 1] {
        let case = sound("1: text of 16 KiB".into()).echo(text(16 << 10));
        cases.push(case.chopped(Chop::Bytes(chop)));
        let case = sound("1: 16 KiB".into()).binary([0xfe; 16 << 10]);
        cases.push(case.chopped(Chop::Bytes(chop)));
    }
    for power in [16, 18, 20, 22] {
        cases.push(sound(format!("9: text of 2^{power} bytes")).echo(text(1 << power)));
        cases.push(sound(format!("9: 2^{power} bytes")).binary(vec![0xfe; 1 << power]));
    }
    for length in [64, 256, 1_024, 4_096, 65_536] {
        let name = format!("9: text of 1 MiB in fragments of {length} bytes");
        let frames = fragments(request(&text(1 << 20)).as_bytes(), length);
        let case = frames.into_iter().fold(sound(name), Case::send);
        cases.push(case.expect(Answer::Echo(text(1 << 20))));
        let case = sound("9: text of 1 MiB".into()).echo(text(1 << 20));
        cases.push(case.chopped(Chop::Bytes(length)));
    }
    for length in [0, 16, 64, 256, 1_024, 4_096] {
        let name = format!("9: 1,000 texts of {length} bytes");
        cases.push((0..1_000).fold(sound(name), |case, _| case.echo(text(length))));
    }
    let frames = fragments(request(&text(65_536)).as_bytes(), 1_300);
    let case = frames.into_iter().fold(
        sound("10: text of 64 KiB in fragments of 1,300 bytes".into()),
        Case::send,
    );
    cases.push(case.expect(Answer::Echo(text(65_536))));
    Cases(cases)
}
