//! The keys of a cluster, from a file.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use midplane_core::bus::{Keys, KeysError};

/// Reads the keys of a cluster from a file, which nobody should be able to read but the nodes. [`Keys::parse`] says what is
/// in it; 32 random bytes make a key, as `openssl rand -base64 32` prints them.
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
/// When the file cannot be read, or is none of keys.
pub fn read_keys(path: impl AsRef<Path>) -> Result<Keys, KeyFileError> {
    let path = path.as_ref();
    let failed = |reason| KeyFileError {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| failed(KeyFileFault::Unread(error)))?;
    Keys::parse(&text).map_err(|error| failed(KeyFileFault::NoKeys(error)))
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
    NoKeys(KeysError),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key file {}: ", self.path.display())?;
        match &self.reason {
            KeyFileFault::Unread(error) => error.fmt(f),
            KeyFileFault::NoKeys(error) => error.fmt(f),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            KeyFileFault::Unread(error) => Some(error),
            KeyFileFault::NoKeys(error) => Some(error),
        }
    }
}
