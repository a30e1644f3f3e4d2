//! Arbitrary bytes as a frame: reading never panics, what it reads can be written and read again, and
//! neither a count nor a length in the bytes makes it allocate more than they warrant.

#![no_main]

use std::alloc::System;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use midplane_core::TooLarge;
use midplane_core::envelope::{
    DecodeError, Decoded, EncodeError, Frame, FrameWriter, Header, Message, VERSION,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a message may keep allocated for each byte of its frame. The worst is a list of targets with
/// ids of one byte: three bytes of input become up to two places of 24 bytes and an id of 24.
const KEPT_PER_BYTE: usize = 32;

/// What reading a message may allocate in all for each byte, the above and what is dropped again.
const ALLOCATED_PER_BYTE: usize = 64;

/// For a frame of almost no bytes.
const ALLOCATED_AT_LEAST: usize = 512;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let limits_hold = match input.len().checked_sub(1) {
        Some(limit) => Frame::decode(&bytes, limit) == Err(too_large(&bytes, limit)),
        None => true,
    };
    assert!(limits_hold, "a frame larger than the limit was read");

    match Frame::decode(&bytes, bytes.len()) {
        Ok(Decoded::Frame(frame)) => check(&frame, bytes.len()),
        Ok(Decoded::UnknownVersion(version)) => {
            assert!(version != VERSION && input[0] == version);
        }
        Ok(decoded) => panic!("the fuzz target does not know of {decoded:?}"),
        Err(DecodeError::Truncated | DecodeError::Malformed) => {}
        Err(error) => panic!("a header cannot be {error:?}"),
    }
});

fn too_large(bytes: &Bytes, limit: usize) -> DecodeError {
    let bytes = bytes.len();
    DecodeError::TooLarge(TooLarge { bytes, limit })
}

fn check(frame: &Frame, size: usize) {
    let mut messages = frame.messages();
    let mut next = Some(frame.header().first);
    let mut count = 0_usize;
    let mut ended = false;
    loop {
        let region = Region::new(ALLOCATOR);
        let message = messages.next();
        let allocated = region.change();
        let kept = allocated
            .bytes_allocated
            .saturating_sub(allocated.bytes_deallocated);
        assert!(
            kept <= size * KEPT_PER_BYTE + ALLOCATED_AT_LEAST,
            "a message of a frame of {size} bytes keeps {kept}"
        );
        assert!(
            allocated.bytes_allocated <= size * ALLOCATED_PER_BYTE + ALLOCATED_AT_LEAST,
            "a message of a frame of {size} bytes allocated {}",
            allocated.bytes_allocated
        );

        let Some((number, message)) = message else {
            break;
        };
        assert!(!ended, "something came after the error that is the last");
        count += 1;
        assert!(count <= size, "more messages than bytes");
        match message {
            Ok(message) => {
                assert!(number.is_none() || number == next, "the numbers are not in a row");
                check_message(&message, frame.header(), number, size);
            }
            // The end of the message is known, or this was the last.
            Err(DecodeError::Malformed) => assert!(number.is_none() || number == next),
            Err(DecodeError::Truncated) => ended = true,
            Err(DecodeError::SequenceExhausted) => {
                assert_eq!(next, None, "there were numbers left");
                ended = true;
            }
            Err(error) => panic!("a message cannot be {error:?}"),
        }
        if let Some(number) = number {
            next = number.checked_add(1);
        }
    }
    check_together(frame, size);
}

/// One message in a frame of its own comes back as it was.
fn check_message(message: &Message, header: &Header, number: Option<u64>, size: usize) {
    if let Message::Publish {
        audience, event, ..
    } = message
    {
        let listed = audience.targets().count() + audience.excluded().len();
        assert!(listed + event.bytes().len() <= size, "more than was sent");
        if event.is_text() {
            assert!(event.as_text().is_some(), "a text that is not UTF-8");
        }
    }
    let header = Header {
        first: number.unwrap_or(header.first),
        ..*header
    };
    // A sequence number further back is longer by up to nine bytes than one near zero.
    let limit = size + 9;
    let mut writer = FrameWriter::new(header, limit).expect("the header was read");
    assert_eq!(writer.push(message), Ok(()), "written longer than read");
    if number == Some(u64::MAX) {
        let refused = writer.push(message);
        assert_eq!(refused, Err(EncodeError::SequenceExhausted));
    }
    let bytes = writer.finish();
    let again = read(&bytes);
    assert_eq!(*again.header(), header);
    let mut messages = again.messages();
    assert_eq!(messages.next(), Some((number, Ok(message.clone()))));
    assert_eq!(messages.next(), None);
}

/// The messages that can be read, written into one frame, come back as they were.
fn check_together(frame: &Frame, size: usize) {
    let readable = || frame.messages().filter_map(|(_, message)| message.ok());
    let mut writer = FrameWriter::new(*frame.header(), size).expect("the header was read");
    let mut written = 0;
    for message in readable() {
        match writer.push(&message) {
            Ok(()) => written += 1,
            Err(EncodeError::SequenceExhausted) => break,
            Err(error) => panic!("the frame became longer: {error}"),
        }
    }
    assert_eq!(writer.messages(), written);
    let again = read(&writer.finish());
    assert_eq!(again.header(), frame.header());
    let mut count = 0;
    for ((_, message), expected) in again.messages().zip(readable()) {
        assert_eq!(message, Ok(expected));
        count += 1;
    }
    assert_eq!(count, written);
    assert_eq!(again.messages().count(), written);
}

fn read(bytes: &Bytes) -> Frame {
    match Frame::decode(bytes, bytes.len()) {
        Ok(Decoded::Frame(frame)) => frame,
        other => panic!("what was written cannot be read: {other:?}"),
    }
}
