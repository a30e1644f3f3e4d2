//! The keys of a cluster, from a file.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use midplane_core::bus::{Keys, KeysError};

/// Reads the keys of a cluster from a file, which nobody should be able to read but the nodes: a line for each, its id, a colon
/// and the key in hexadecimal digits or base64, in either alphabet, with or without padding. The first key signs. Empty lines and
/// those that begin with `#` are skipped. 32 random bytes make a key, as `openssl rand -base64 32` prints them.
///
/// A key of nothing but hexadecimal digits, an even number, is read as such.
///
/// ```text
/// # the new one signs
/// 2: 6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=
/// 1: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
/// ```
///
/// ```no_run
/// use midplane::Plane;
/// use midplane::bus::Signing;
/// use midplane::connect::read_keys;
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let signing = Signing::require(read_keys("/run/secrets/bus-keys")?);
/// let plane = Plane::builder("redis://localhost").signing(signing).connect().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the file cannot be read, or is none of keys. The error names the file and shows nothing of a key.
pub fn read_keys(path: impl AsRef<Path>) -> Result<Keys, KeyFileError> {
    let path = path.as_ref();
    let failed = |reason| KeyFileError {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| failed(KeyFileFault::Unread(error)))?;
    parse(&text).map_err(failed)
}

fn parse(text: &str) -> Result<Keys, KeyFileFault> {
    let mut keys = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split_once(':').and_then(|(id, key)| {
            let id: u8 = id.trim().parse().ok()?;
            Some((id, decode(key.trim())?))
        });
        keys.push(key.ok_or(KeyFileFault::Unreadable { line: number })?);
    }
    let keys = keys.iter().map(|(id, secret)| (*id, &**secret));
    Keys::new(keys).map_err(KeyFileFault::NoKeys)
}

fn decode(key: &str) -> Option<Vec<u8>> {
    let encodings = [
        HEXLOWER_PERMISSIVE,
        BASE64,
        BASE64_NOPAD,
        BASE64URL,
        BASE64URL_NOPAD,
    ];
    encodings
        .iter()
        .find_map(|encoding| encoding.decode(key.as_bytes()).ok())
}

/// Why there are no keys in a file. It names the file, and shows nothing of a key.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    reason: KeyFileFault,
}

#[derive(Debug)]
enum KeyFileFault {
    Unread(io::Error),
    /// The line of this number, from 1 on, is none of a key.
    Unreadable {
        line: usize,
    },
    NoKeys(KeysError),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key file {}: ", self.path.display())?;
        match &self.reason {
            KeyFileFault::Unread(error) => error.fmt(f),
            KeyFileFault::Unreadable { line } => write!(
                f,
                "line {line} is no `id: key` with the key in hexadecimal digits or base64"
            ),
            KeyFileFault::NoKeys(error) => error.fmt(f),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            KeyFileFault::Unread(error) => Some(error),
            KeyFileFault::Unreadable { .. } => None,
            KeyFileFault::NoKeys(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(decode(text).as_ref(), Some(&bytes), "{text}");
        }
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            assert_eq!(decode(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        for text in ["A", "AB=", "AAB=C", "AAF", "A===", "AA AA", "AAAA="] {
            assert_eq!(decode(text), None, "{text}");
        }
        let text = format!("\n# of this year\r\n 7 : {HEX} \r\n6:{HEX}");
        let keys = parse(&text).expect("two keys");
        assert!(keys.ids().eq([7, 6]));
    }

    #[test]
    fn an_error_says_what_is_wrong_and_nothing_of_a_key() {
        let line = "line 1 is no `id: key` with the key in hexadecimal digits or base64";
        for (text, said) in [
            ("# nothing\n".into(), "there is no key"),
            (format!("1: {HEX}\n1: {HEX}"), "two keys have the id 1"),
            (format!("1: {HEX}!"), line),
            (format!("256: {HEX}"), line),
            (format!("one: {HEX}"), line),
            (HEX.into(), line),
        ] {
            let reason = parse(&text).expect_err(said);
            let path = PathBuf::from("keys");
            let error = KeyFileError { path, reason };
            assert_eq!(error.to_string(), format!("the key file keys: {said}"));
            assert!(!format!("{error:?}").contains("0a0B"));
        }
    }
}
