//! Arbitrary bytes as a signed frame, and what of them is a frame signed: who has no key proves nothing by any change, and
//! who has one reads what was written.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use midplane_core::bus::{Keys, Signing};
use midplane_core::envelope::{Decoded, Frame, FrameWriter, SIGNATURE, Signatures, Unproven};

/// The key of the golden frames.
const SECRET: [u8; 32] = [1; 32];

fn signatures(prefix: &str) -> Signatures {
    let keys = Keys::new([(7, &SECRET[..])]).expect("a key");
    Signatures::new(&Signing::require(keys), prefix)
}

fuzz_target!(|input: &[u8]| {
    let ours = signatures("midplane");
    if ours.verify(input).is_ok() {
        check_changes(&ours, input);
    }
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(Decoded::Frame(frame)) = Frame::decode(&bytes, bytes.len()) {
        check_signed(&ours, &frame, bytes.len());
    }
});

/// Signs what could be read.
fn check_signed(ours: &Signatures, frame: &Frame, size: usize) {
    let header = *frame.header();
    let limit = size * 2 + 128;
    let Ok(mut plain) = FrameWriter::new(header, limit) else {
        return;
    };
    let mut signed =
        FrameWriter::with_capacity(header, limit + SIGNATURE, size, Some(ours)).expect("it fits");
    for (_, message) in frame.messages() {
        let Ok(message) = message else { continue };
        let fits = plain.push(&message).is_ok();
        assert_eq!(signed.push(&message).is_ok(), fits, "one is written, one is not");
    }
    let (plain, signed) = (plain.finish(), signed.finish());
    assert_eq!(signed.len(), plain.len() + SIGNATURE);
    assert_eq!(ours.verify(&plain), Err(Unproven::Unsigned));
    assert_eq!(ours.verify(&signed), Ok(()));
    let other = signatures("midplane2");
    assert_eq!(other.verify(&signed), Err(Unproven::WrongTag));
    check_changes(ours, &signed);
    let read = |bytes: &Bytes| match Frame::decode(bytes, bytes.len()) {
        Ok(Decoded::Frame(frame)) => {
            let messages: Vec<_> = frame.messages().collect();
            (*frame.header(), messages)
        }
        other => panic!("what was written is no frame: {other:?}"),
    };
    assert_eq!(read(&signed), read(&plain));
}

/// No bit of a proven frame can be changed, and no byte taken away.
fn check_changes(ours: &Signatures, proven: &[u8]) {
    // One place of each input: all would make each run as slow as the frame is long.
    let place = proven.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let (at, bit) = (place % proven.len(), place / proven.len() % 8);
    let mut changed = proven.to_vec();
    changed[at] ^= 1 << bit;
    assert!(ours.verify(&changed).is_err(), "bit {bit} of byte {at} can be changed");
    assert!(ours.verify(&proven[..at]).is_err(), "{at} bytes are enough");
}
