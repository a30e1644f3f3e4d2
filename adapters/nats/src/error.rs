//! What goes wrong with the settings, said without secrets.

use std::error::Error;
use std::fmt;

/// Why a bus could not be made of its settings. No message holds the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// A URL is not that of a NATS server, or there is none.
    Url,
    /// The scheme of a URL is neither `nats` nor `tls`.
    Scheme,
    /// Two URLs carry different credentials.
    Credentials,
    /// The prefix is longer than 128 bytes, has a character other than ASCII letters, digits, `_`, `-` and dots, or
    /// has nothing before, after or between its dots.
    Prefix(String),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "the url of nats must be like nats://user:password@host:4222 or nats://token@host, \
                 several of them with commas between",
            ),
            Self::Scheme => f.write_str("the url of nats must start with nats:// or tls://"),
            Self::Credentials => f.write_str(
                "the urls of nats carry different credentials, and all servers must take the same",
            ),
            Self::Prefix(prefix) => write!(
                f,
                "the prefix {prefix:?} must be 1 to 128 ASCII letters, digits, '_', '-' and single dots \
                 between them"
            ),
        }
    }
}

impl Error for SettingsError {}
