//! The fields that every event is made of, in postcard's encoding and written by hand: through serde an envelope of
//! 64 bytes took 1,000 instructions to write and 1,400 to read, more than all else between a publish and its sink.
//! The golden frames and the tests below hold both to the same bytes.

use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::error::DecodeError;

/// Appends a value in postcard's encoding. Every value written here has a known length and the buffer grows: the two
/// things postcard could refuse do not occur.
pub(super) fn append(bytes: &mut Vec<u8>, value: &impl Serialize) {
    let written = postcard::to_extend(value, core::mem::take(bytes));
    debug_assert!(written.is_ok(), "postcard refused a plain value");
    *bytes = written.unwrap_or_default();
}

/// The wire counts microseconds, which last for half a million years.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Appends a number, seven bits in a byte, the lowest first, and the highest bit set in each but the last.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends how long it is, and the text or the bytes.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, field: &[u8]) {
    put_number(bytes, field.len() as u64);
    bytes.extend_from_slice(field);
}

/// Appends whether there is one, and the one.
pub(super) fn put_option(bytes: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(field) => {
            bytes.push(1);
            put_bytes(bytes, field);
        }
        None => bytes.push(0),
    }
}

/// Takes a byte off.
pub(super) fn take_byte(rest: &mut &[u8]) -> Result<u8, DecodeError> {
    let (byte, tail) = rest.split_first().ok_or(DecodeError::Truncated)?;
    *rest = tail;
    Ok(*byte)
}

/// Takes a bool, or what says whether there is one, off.
pub(super) fn take_bool(rest: &mut &[u8]) -> Result<bool, DecodeError> {
    match take_byte(rest)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Malformed),
    }
}

/// Takes a number of up to 32 bits off: five bytes at most, of the last of which four bits count.
pub(super) fn take_u32(rest: &mut &[u8]) -> Result<u32, DecodeError> {
    take_number::<5, 0x0f>(rest).map(|number| number as u32)
}

/// Takes bytes off, behind how many they are.
pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = take_number::<10, 0x01>(rest)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Malformed)?;
    let (field, tail) = rest
        .split_at_checked(length)
        .ok_or(DecodeError::Truncated)?;
    *rest = tail;
    Ok(field)
}

/// Takes text off.
pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    core::str::from_utf8(take_bytes(rest)?).map_err(|_| DecodeError::Malformed)
}

fn take_number<const BYTES: usize, const LAST: u8>(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut number = 0;
    for at in 0..BYTES {
        let byte = *rest.get(at).ok_or(DecodeError::Truncated)?;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            if at == BYTES - 1 && byte > LAST {
                return Err(DecodeError::Malformed);
            }
            *rest = &rest[at + 1..];
            return Ok(number);
        }
    }
    Err(DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn failure(error: &postcard::Error) -> DecodeError {
        match error {
            postcard::Error::DeserializeUnexpectedEnd => DecodeError::Truncated,
            _ => DecodeError::Malformed,
        }
    }

    /// What postcard takes off, or why it does not.
    fn taken<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
        postcard::take_from_bytes(bytes).map_err(|error| failure(&error))
    }

    fn by_hand<'a, T>(
        mut bytes: &'a [u8],
        take: impl FnOnce(&mut &'a [u8]) -> Result<T, DecodeError>,
    ) -> Result<(T, &'a [u8]), DecodeError> {
        take(&mut bytes).map(|value| (value, bytes))
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_postcard_writes(
            number: u64,
            small in 0..1_000_u64,
            field in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        ) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            put_number(&mut bytes, small);
            let field = field.as_deref();
            put_option(&mut bytes, field);
            let expected = (number, small, field.map(serde_bytes::Bytes::new));
            prop_assert_eq!(bytes, postcard::to_allocvec(&expected).unwrap());
        }

        /// Few values of a byte, so that numbers that go on and lengths that fit are among them.
        #[test]
        fn what_is_read_is_what_postcard_reads(
            bytes in prop::collection::vec(
                prop_oneof![Just(0x80), Just(0xff), 0..4_u8, any::<u8>()],
                0..24,
            ),
            text in "\\PC{0,8}",
        ) {
            prop_assert_eq!(by_hand(&bytes, take_u32), taken::<u32>(&bytes));
            prop_assert_eq!(by_hand(&bytes, take_byte), taken::<u8>(&bytes));
            prop_assert_eq!(by_hand(&bytes, take_bool), taken::<bool>(&bytes));
            prop_assert_eq!(by_hand(&bytes, take_bytes), taken::<&[u8]>(&bytes));
            prop_assert_eq!(by_hand(&bytes, take_text), taken::<&str>(&bytes));
            let text = postcard::to_allocvec::<String>(&text).unwrap();
            prop_assert_eq!(by_hand(&text, take_text), taken::<&str>(&text));
        }
    }
}
