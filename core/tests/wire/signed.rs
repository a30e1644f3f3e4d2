//! Frames that are signed, and what is proven by whom.

use bytes::Bytes;
use midplane_core::bus::{Keys, Signing};
use midplane_core::envelope::{
    DecodeError, Decoded, FrameWriter, Header, NodeId, SIGNATURE, Signatures, Unproven,
};
use midplane_core::{Event, Target};

use crate::{LIMIT, frame, golden, hex, messages, publish};

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 40] = [2; 40];

fn signatures(keys: &[(u8, &[u8])], prefix: &str) -> Signatures {
    let keys = Keys::new(keys.iter().copied()).expect("keys");
    Signatures::new(&Signing::require(keys), prefix)
}

fn old() -> Signatures {
    signatures(&[(7, &OLD)], "midplane")
}

fn written(header: Header, limit: usize, signatures: Option<&Signatures>) -> FrameWriter {
    let mut writer = FrameWriter::with_capacity(header, limit, 64, signatures).expect("it fits");
    let topic = Target::topic("t").expect("a topic").into();
    let message = publish(&[], topic, Event::text("hello"));
    writer.push(&message).expect("it fits");
    writer
}

fn signed(signatures: &Signatures) -> Bytes {
    let header = Header::new(NodeId([9; 16]), 3, 41);
    written(header, LIMIT, Some(signatures)).finish()
}

/// The tag of the file was made by another program: Python's `hmac`.
#[test]
fn a_signed_frame_is_these_bytes_for_ever() {
    let (_, _, header, expected) = golden::all().remove(0);
    let mut writer = FrameWriter::with_capacity(header, LIMIT, 64, Some(&old())).expect("it fits");
    expected
        .iter()
        .for_each(|message| writer.push(message).expect("it fits"));
    let bytes = writer.finish();
    assert_eq!(hex(&bytes), include_str!("golden/2-signed.hex").trim());
    assert_eq!(old().verify(&bytes), Ok(()));
    let Ok(Decoded::Frame(decoded)) = frame(bytes) else {
        panic!("no frame")
    };
    assert_eq!(*decoded.header(), header);
    let read = messages(&decoded).into_iter().map(|(_, message)| message);
    assert_eq!(read.collect::<Result<Vec<_>, _>>(), Ok(expected));
}

#[test]
fn a_frame_that_was_changed_or_cut_is_not_proven() {
    let frame = signed(&old());
    assert_eq!(old().verify(&frame), Ok(()));
    for bit in 0..frame.len() * 8 {
        let mut changed = frame.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let wrong = match bit / 8 {
            // The version and the flag: a change of them takes the signature away.
            0 => Unproven::Unsigned,
            1 if bit % 8 == 0 => Unproven::Unsigned,
            2 => Unproven::UnknownKey(changed[2]),
            _ => Unproven::WrongTag,
        };
        assert_eq!(old().verify(&changed), Err(wrong), "bit {bit}");
    }
    for length in 0..frame.len() {
        assert!(old().verify(&frame[..length]).is_err(), "{length} bytes");
    }
    let mut longer = frame.to_vec();
    longer.push(0);
    assert_eq!(old().verify(&longer), Err(Unproven::WrongTag));
}

#[test]
fn a_frame_of_another_prefix_or_key_is_not_proven() {
    let frame = signed(&old());
    for (known, outcome) in [
        (
            signatures(&[(7, &OLD)], "midplane2"),
            Err(Unproven::WrongTag),
        ),
        (
            signatures(&[(7, &NEW)], "midplane"),
            Err(Unproven::WrongTag),
        ),
        (
            signatures(&[(8, &OLD)], "midplane"),
            Err(Unproven::UnknownKey(7)),
        ),
        (signatures(&[(8, &NEW), (7, &OLD)], "midplane"), Ok(())),
    ] {
        assert_eq!(known.verify(&frame), outcome, "{known:?}");
    }
    // The high bit is kept for another algorithm.
    let mut other = frame.to_vec();
    other[2] |= 128;
    assert_eq!(old().verify(&other), Err(Unproven::UnknownKey(128 | 7)));
    let header = Header::new(NodeId([9; 16]), 3, 41);
    let unsigned = written(header, LIMIT, None).finish();
    assert_eq!(old().verify(&unsigned), Err(Unproven::Unsigned));
    // The first key signs.
    let both = signatures(&[(8, &NEW), (7, &OLD)], "midplane");
    assert_eq!(signed(&both)[2], 8);
    assert!(old().verify(&signed(&both)).is_err());
}

#[test]
fn what_is_not_proven_is_taken_where_no_signature_is_required_unless_it_is_wrong() {
    let keys = || Keys::new([(7, &OLD[..])]).expect("a key");
    let signs = Signatures::new(&Signing::sign(keys()), "midplane");
    let requires = Signatures::new(&Signing::require(keys()), "midplane");
    for (unproven, taken) in [
        (Unproven::Unsigned, true),
        (Unproven::UnknownKey(9), true),
        (Unproven::WrongTag, false),
    ] {
        assert_eq!(signs.takes(unproven), taken, "{unproven:?}");
        assert!(!requires.takes(unproven), "{unproven:?}");
    }
}

/// A node that does not know of signatures in its settings reads the events all the same.
#[test]
fn a_signed_frame_is_read_by_a_node_that_does_not_verify_it() {
    let bytes = signed(&old());
    let header = Header::new(NodeId([9; 16]), 3, 41);
    let plain = written(header, LIMIT, None).finish();
    assert_eq!(bytes.len(), plain.len() + SIGNATURE);
    let (Ok(Decoded::Frame(bytes)), Ok(Decoded::Frame(plain))) = (frame(bytes), frame(plain))
    else {
        panic!("no frames")
    };
    assert_eq!(bytes.header(), plain.header());
    assert_eq!(messages(&bytes), messages(&plain));
}

#[test]
fn a_signature_is_within_the_limit_and_not_read_as_a_message() {
    let header = Header::new(NodeId([9; 16]), 3, 41);
    let size = signed(&old()).len();
    assert_eq!(written(header, size, Some(&old())).finish().len(), size);
    let mut writer = FrameWriter::with_capacity(header, size - 1, 64, Some(&old())).expect("fits");
    let message = publish(
        &[],
        Target::topic("t").unwrap().into(),
        Event::text("hello"),
    );
    assert!(writer.push(&message).is_err());
    assert_eq!(old().verify(&writer.finish()), Ok(()));
    for cut in 2..2 + SIGNATURE {
        let mut bytes = vec![0; cut];
        (bytes[0], bytes[1]) = (2, 1);
        assert_eq!(frame(bytes), Err(DecodeError::Truncated), "{cut} bytes");
    }
}

#[test]
fn no_text_shows_a_key() {
    let shown = format!(
        "{:?} {:?}",
        old(),
        Signing::sign(Keys::new([(7, &OLD[..])]).unwrap())
    );
    assert!(shown.contains('7') && !shown.contains("1, 1"), "{shown}");
    let writer = written(Header::new(NodeId([0; 16]), 0, 0), LIMIT, Some(&old()));
    assert!(format!("{writer:?}").contains("FrameKey(7)"));
}
