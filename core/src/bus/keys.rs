//! The keys that the nodes of a cluster share, and nobody else has.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

/// The keys of a cluster, by which its nodes know each other's frames. The first signs, all are known.
///
/// A key is a secret: it stands in no `Debug`, error or log line.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: u8,
    secret: Box<[u8]>,
}

impl Keys {
    /// The most keys that are known at once. To replace one takes two.
    pub const MOST: usize = 4;

    /// The shortest key, in bytes. It should be as many random ones.
    pub const SHORTEST: usize = 32;

    /// The largest id of a key. Those above are for keys of another algorithm.
    pub const LARGEST_ID: u8 = 127;

    /// Keys by their ids. The first signs.
    ///
    /// # Errors
    /// When there is none or more than [`MOST`](Self::MOST), one is shorter than [`SHORTEST`](Self::SHORTEST) bytes, or an
    /// id is above [`LARGEST_ID`](Self::LARGEST_ID) or comes twice.
    pub fn new<'a>(keys: impl IntoIterator<Item = (u8, &'a [u8])>) -> Result<Self, KeysError> {
        let mut known: Vec<Key> = Vec::new();
        for (id, secret) in keys {
            if id > Self::LARGEST_ID {
                return Err(KeysError::LargeId { id });
            }
            if secret.len() < Self::SHORTEST {
                let bytes = secret.len();
                return Err(KeysError::TooShort { id, bytes });
            }
            if known.iter().any(|key| key.id == id) {
                return Err(KeysError::Twice { id });
            }
            if known.len() == Self::MOST {
                return Err(KeysError::TooMany);
            }
            let secret = secret.into();
            known.push(Key { id, secret });
        }
        match known.is_empty() {
            true => Err(KeysError::None),
            false => Ok(Self(known)),
        }
    }

    /// Reads keys from text, as a file has it: a line for each, its id, a colon and the key in hexadecimal digits or
    /// base64. Empty lines and those that begin with `#` are skipped. The first key signs.
    ///
    /// A key of nothing but hexadecimal digits, an even number, is read as such.
    ///
    /// ```
    /// use midplane_core::bus::Keys;
    ///
    /// let text = "# the new one signs\n2: 6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=\n\
    ///             1: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    /// assert_eq!(Keys::parse(text)?.ids().collect::<Vec<_>>(), [2, 1]);
    /// # Ok::<(), midplane_core::bus::KeysError>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new), and when a line is none of a key. The error names the line and shows nothing of it.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let unreadable = KeysError::Unreadable { line: number + 1 };
            let key = line.split_once(':').and_then(|(id, key)| {
                let key = key.trim();
                let secret = hexadecimal(key).or_else(|| base64(key))?;
                Some((id.trim().parse::<u8>().ok()?, secret))
            });
            keys.push(key.ok_or(unreadable)?);
        }
        Self::new(keys.iter().map(|(id, secret)| (*id, &**secret)))
    }

    /// The ids of the keys. The first signs.
    pub fn ids(&self) -> impl Iterator<Item = u8> {
        self.0.iter().map(|key| key.id)
    }

    /// The keys by their ids.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|key| (key.id, &*key.secret))
    }
}

/// The ids, and nothing of the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.ids().collect();
        f.debug_tuple("Keys").field(&ids).finish()
    }
}

/// Why there are no [`Keys`]. Nothing of a key is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeysError {
    /// There is no key.
    None,
    /// There are more than [`Keys::MOST`].
    TooMany,
    /// A key is shorter than [`Keys::SHORTEST`] bytes.
    TooShort {
        /// The id of the key.
        id: u8,
        /// The length of the key, in bytes.
        bytes: usize,
    },
    /// Two keys have one id.
    Twice {
        /// The id.
        id: u8,
    },
    /// An id is above [`Keys::LARGEST_ID`].
    LargeId {
        /// The id.
        id: u8,
    },
    /// A line is no `id: key`, the key in hexadecimal digits or base64.
    Unreadable {
        /// The number of the line, from 1 on.
        line: usize,
    },
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no key"),
            Self::TooMany => write!(f, "there are more than {} keys", Keys::MOST),
            Self::TooShort { id, bytes } => {
                let shortest = Keys::SHORTEST;
                write!(f, "key {id} has {bytes} bytes and needs {shortest} or more")
            }
            Self::Twice { id } => write!(f, "two keys have the id {id}"),
            Self::LargeId { id } => {
                let largest = Keys::LARGEST_ID;
                write!(f, "the id {id} of a key is larger than {largest}")
            }
            Self::Unreadable { line } => write!(
                f,
                "line {line} is no `id: key` with the key in hexadecimal digits or base64"
            ),
        }
    }
}

impl Error for KeysError {}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16));
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| match *pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect()
}

/// Base64 of RFC 4648 in either alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return None;
    }
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for c in body.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    // What is left over is padding of less than a digit, of zeroes.
    (held < 6 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use super::*;

    const HEX: &str = "000102030405060708090a0B0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn keys_are_read_in_either_form() {
        let bytes: Vec<u8> = (0..32).collect();
        for text in [
            HEX,
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ] {
            let keys = Keys::parse(&format!("\n# of this year\r\n 7 : {text} \r\n")).expect(text);
            assert!(keys.secrets().eq([(7, &*bytes)]), "{text}");
        }
        assert_eq!(base64("-_8="), Some([0xfb, 0xff].into()));
        assert_eq!(base64("+/8"), Some([0xfb, 0xff].into()));
        for text in ["A", "AB=", "AAB=C", "AAF", "A===", "AA AA", "AAAA="] {
            assert_eq!(base64(text), None, "{text}");
        }
        assert_eq!(hexadecimal("0g"), None);
        assert_eq!(hexadecimal("012"), None);
    }

    #[test]
    fn an_error_says_what_is_wrong_and_nothing_of_a_key() {
        let many = (0..5).fold(String::new(), |text, id| text + &format!("{id}: {HEX}\n"));
        for (text, said) in [
            ("# nothing\n".into(), "there is no key"),
            (many, "there are more than 4 keys"),
            (
                format!("1: {}", &HEX[2..]),
                "key 1 has 31 bytes and needs 32 or more",
            ),
            (format!("1: {HEX}\n1: {HEX}"), "two keys have the id 1"),
            (
                format!("128: {HEX}"),
                "the id 128 of a key is larger than 127",
            ),
            (
                format!("1: {HEX}\n2: {HEX}!"),
                "line 2 is no `id: key` with the key in hexadecimal digits or base64",
            ),
        ] {
            let error = Keys::parse(&text).expect_err(said);
            assert_eq!(error.to_string(), said);
            assert!(!format!("{error:?}").contains("0a0B"));
        }
        for text in [format!("256: {HEX}"), HEX.into(), format!("one: {HEX}")] {
            let refused = Keys::parse(&text).expect_err(&text);
            assert_eq!(refused, KeysError::Unreadable { line: 1 });
        }
    }

    #[test]
    fn debug_shows_the_ids_alone() {
        let keys = Keys::parse(&format!("3: {HEX}\n1: {HEX}")).expect("two keys");
        assert_eq!(format!("{keys:?}"), "Keys([3, 1])");
    }
}
