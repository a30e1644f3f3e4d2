//! What goes wrong with the settings, said without secrets.

use std::error::Error;
use std::fmt;

/// Why a bus or a store could not be made of its settings. No message holds the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The URL is not that of a Postgres server, or names no host.
    Url,
    /// The URL asks for TLS, and the feature `tls` is not compiled in.
    NoTls,
    /// The URL asks for a standby, which knows no `LISTEN`.
    ReadOnly,
    /// The prefix is empty, longer than 52 bytes, or has a character other than ASCII letters, digits, `_` and `-`.
    Prefix(String),
    /// The name of the schema is empty, longer than 63 bytes, begins with `pg_`, or has a character other than letters,
    /// digits, `_` and `-`.
    Schema(String),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str(
                "the url of postgres must be like postgres://user:password@host:5432/database, its sslmode one of \
                 disable, prefer, require, verify-ca and verify-full",
            ),
            Self::NoTls => f.write_str(
                "the url of postgres asks for tls: compile midplane-postgres with its feature `tls`",
            ),
            Self::ReadOnly => f.write_str(
                "the url of postgres asks for a standby, which knows no LISTEN: name the primary",
            ),
            Self::Prefix(prefix) => write!(
                f,
                "the prefix {prefix:?} must be 1 to 52 ASCII letters, digits, '_' and '-'"
            ),
            Self::Schema(schema) => write!(
                f,
                "the schema {schema:?} must be 1 to 63 bytes of letters, digits, '_' and '-', and not begin with pg_"
            ),
        }
    }
}

impl Error for SettingsError {}
