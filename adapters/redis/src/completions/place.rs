//! A place in the history, in the terms of the functions.

use midplane_completions::{Cursor, CursorError};

/// The name of the backend in its cursors.
const NAME: &str = "redis";
const VERSION: u8 = 1;

/// Numbers are exact up to here in Lua.
const LARGEST: u64 = 1 << 53;

/// A place behind an entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HistoryPlace {
    /// The first half of the entry's id; 0 is before the first.
    pub(super) number: u64,
    /// The second half, which is 0 for everything that the functions wrote.
    pub(super) sequence: u64,
    /// The digest of the history up to here, in 8 hexadecimal digits; empty where it is not known.
    pub(super) check: String,
}

impl HistoryPlace {
    pub(super) fn cursor(&self, store: u64) -> Cursor {
        let mut position = Vec::with_capacity(24);
        position.extend_from_slice(&self.number.to_be_bytes());
        position.extend_from_slice(&self.sequence.to_be_bytes());
        position.extend_from_slice(self.check.as_bytes());
        Cursor::new(NAME, store, VERSION, &position)
    }

    /// # Errors
    /// When the cursor is of another store, or no place of this backend.
    pub(super) fn of(cursor: &Cursor, store: u64) -> Result<Self, CursorError> {
        let position = cursor.position(NAME, store, VERSION)?;
        Self::parse(position).ok_or(CursorError::Malformed)
    }

    fn parse(position: &[u8]) -> Option<Self> {
        let (number, rest) = position.split_first_chunk()?;
        let (sequence, check) = rest.split_first_chunk()?;
        let (number, sequence) = (u64::from_be_bytes(*number), u64::from_be_bytes(*sequence));
        let digits = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if number > LARGEST || sequence > LARGEST || !matches!(check.len(), 0 | 8) {
            return None;
        }
        let check = std::str::from_utf8(check).ok()?;
        check.as_bytes().iter().all(digits).then(|| Self {
            number,
            sequence,
            check: check.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is_one() {
        for check in ["", "0123abcd"] {
            let place = HistoryPlace {
                number: 7,
                sequence: 1,
                check: check.to_owned(),
            };
            assert_eq!(HistoryPlace::of(&place.cursor(3), 3), Ok(place));
        }
        let parts: [&[u8]; 5] = [
            b"",
            &[0; 15],
            &[0; 17],
            &[0xff; 16],
            b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0checkers",
        ];
        for position in parts {
            let cursor = Cursor::new(NAME, 3, VERSION, position);
            assert_eq!(HistoryPlace::of(&cursor, 3), Err(CursorError::Malformed));
        }
    }
}
