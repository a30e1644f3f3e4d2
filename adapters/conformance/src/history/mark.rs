//! What an event carries so that whoever gets it can say which one it is.

use std::fmt;

use midplane::Event;

/// Which event it is: the number that one publisher gave it. A publisher numbers upwards, in the order it
/// publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Who published it: one handle used by one thread of execution.
    pub publisher: u32,
    /// Its number among what that publisher published.
    pub number: u32,
}

impl Mark {
    /// An event of text that carries the mark, with so many bytes of padding that depend on it.
    #[must_use]
    pub fn event(self, padding: usize) -> Event {
        let mut text = format!("{}.{}.", self.publisher, self.number);
        let letters = (b'a'..=b'z').cycle().skip(self.number as usize % 26);
        text.extend(letters.take(padding).map(char::from));
        Event::text(text)
    }

    /// The mark that these bytes carry, if they are those of such an event, unharmed or not.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.split(|byte| *byte == b'.');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
        let (publisher, number) = (number()?, number()?);
        parts.next()?;
        Some(Self { publisher, number })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.publisher, self.number)
    }
}

/// A hash of the content of an event: its bytes, and whether they are text. FNV-1a, 64 bits.
#[must_use]
pub fn hash(event: &Event) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = event.bytes().iter().copied();
    bytes
        .chain([u8::from(event.is_text())])
        .fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        })
}
