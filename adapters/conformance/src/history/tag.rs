//! The tag that an event carries in its bytes, by which every receiver knows which event it got.

use std::fmt;

use midplane::Event;

/// The identity of a recorded event: its publisher, and its number among that publisher's events. A publisher
/// numbers upwards in the order of its publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTag {
    /// The publisher: one handle, used by one thread of execution.
    pub publisher: u32,
    /// The number of the event among its publisher's.
    pub number: u32,
}

impl EventTag {
    /// An event of text that carries the tag, and `padding` more bytes that depend on the number.
    #[must_use]
    pub fn event(self, padding: usize) -> Event {
        let mut text = format!("{}.{}.", self.publisher, self.number);
        let letters = (b'a'..=b'z').cycle().skip(self.number as usize % 26);
        text.extend(letters.take(padding).map(char::from));
        Event::text(text)
    }

    /// The tag that these bytes begin with, if they begin with one; what follows may be altered.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.split(|byte| *byte == b'.');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
        let (publisher, number) = (number()?, number()?);
        parts.next()?;
        Some(Self { publisher, number })
    }
}

impl fmt::Display for EventTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.publisher, self.number)
    }
}

/// The FNV-1a hash, 64 bits, of an event's bytes and of whether they are text.
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
