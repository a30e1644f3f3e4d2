//! A place in the history, in the terms of the procedures.

use midplane_completions::{Cursor, CursorError};

/// The name of the backend in its cursors.
const NAME: &str = "postgres";
/// The version of a place that has a check.
const VERSION: u8 = 2;
/// The version of a place that has none: of a scan, and of the history before it had checks.
const UNCHECKED: u8 = 1;

/// A place behind a record of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryPlace {
    /// The number of the record; 0 is before the first.
    pub(super) number: i64,
    /// What tells the record from another of the same number, where that is known.
    pub(super) check: Option<i32>,
}

impl HistoryPlace {
    pub(super) fn cursor(self, store: i64) -> Cursor {
        let store = store.cast_unsigned();
        let number = self.number.to_be_bytes();
        match self.check {
            None => Cursor::new(NAME, store, UNCHECKED, &number),
            Some(check) => {
                let position = [&number[..], &check.to_be_bytes()].concat();
                Cursor::new(NAME, store, VERSION, &position)
            }
        }
    }

    /// # Errors
    /// When the cursor is of another store, or no place of this backend.
    pub(super) fn of(cursor: &Cursor, store: i64) -> Result<Self, CursorError> {
        let store = store.cast_unsigned();
        let (number, check) = match cursor.position(NAME, store, VERSION) {
            Ok(position) => {
                let (number, check) = position.split_first_chunk().ok_or(CursorError::Malformed)?;
                let check = check.try_into().map_err(|_| CursorError::Malformed)?;
                (*number, Some(i32::from_be_bytes(check)))
            }
            Err(CursorError::Malformed) => {
                let position = cursor.position(NAME, store, UNCHECKED)?;
                let number = position.try_into().map_err(|_| CursorError::Malformed)?;
                (number, None)
            }
            Err(error) => return Err(error),
        };
        match i64::from_be_bytes(number) {
            number if number >= 0 => Ok(Self { number, check }),
            _ => Err(CursorError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is_one() {
        for check in [None, Some(0), Some(i32::MIN)] {
            let place = HistoryPlace { number: 7, check };
            assert_eq!(HistoryPlace::of(&place.cursor(-3), -3), Ok(place));
        }
        for (version, position) in [
            (VERSION, &[0; 8][..]),
            (VERSION, &[0; 13]),
            (VERSION, &[0xff; 12]),
            (UNCHECKED, &[0; 12]),
            (UNCHECKED, &[0xff; 8]),
            (3, &[0; 12]),
        ] {
            let cursor = Cursor::new(NAME, 3, version, position);
            assert_eq!(HistoryPlace::of(&cursor, 3), Err(CursorError::Malformed));
        }
    }
}
