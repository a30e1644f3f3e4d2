//! How a connection is kept from others, as libpq's `sslmode` and `sslrootcert` say.

use std::path::PathBuf;

use midplane_core::bus::SettingsError;
use percent_encoding::percent_decode_str;

/// What is said of a URL that is none of Postgres.
pub(crate) const REFUSED: SettingsError = SettingsError::Url(
    "the url of postgres must be like postgres://user:password@host:5432/database, its sslmode one of disable, prefer, \
     require, verify-ca and verify-full",
);

/// What is asked of a connection by TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encryption {
    pub(crate) mode: EncryptionMode,
    /// The certificates that are trusted, in place of the system's.
    pub(crate) roots: Option<PathBuf>,
}

/// libpq's modes; its `allow` is its own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EncryptionMode {
    /// In the clear.
    Disable,
    /// By TLS where the server speaks it.
    Prefer,
    /// By TLS, with any server.
    Require,
    /// By TLS, with a server whose certificate is signed by a trusted one.
    VerifyCa,
    /// By TLS, with a server whose certificate is also that of the host's name.
    VerifyFull,
}

impl Encryption {
    /// Takes `sslmode` and `sslrootcert` out of a URL, which is what is left then. The driver knows neither all modes
    /// nor certificates. Keys and values in another form are left to it.
    pub(crate) fn split(url: &str) -> Result<(String, Self), SettingsError> {
        let mut encryption = Self {
            mode: EncryptionMode::Prefer,
            roots: None,
        };
        let Some((address, query)) = url.split_once('?').filter(|_| url.contains("://")) else {
            return Ok((url.to_owned(), encryption));
        };
        let mut mode = None;
        let mut kept = Vec::new();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(EncryptionMode::parse(value)?),
                Some(("sslrootcert", value)) => {
                    let path = percent_decode_str(value).decode_utf8();
                    let path = path.map_err(|_| REFUSED)?;
                    encryption.roots = Some(PathBuf::from(&*path));
                }
                _ => kept.push(pair),
            }
        }
        // As libpq has it: certificates that are named are used, and the system's only where names are checked too.
        encryption.mode = match (mode, &encryption.roots) {
            (Some(EncryptionMode::Require), Some(_)) => EncryptionMode::VerifyCa,
            (Some(mode), _) => mode,
            (None, _) => EncryptionMode::Prefer,
        };
        if encryption
            .roots
            .as_ref()
            .is_some_and(|roots| roots.as_os_str() == "system")
        {
            encryption.roots = None;
            encryption.mode = EncryptionMode::VerifyFull;
        }
        let url = if kept.is_empty() {
            address.to_owned()
        } else {
            format!("{address}?{}", kept.join("&"))
        };
        Ok((url, encryption))
    }
}

impl EncryptionMode {
    fn parse(text: &str) -> Result<Self, SettingsError> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return Err(REFUSED),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_security_is_taken_out_of_the_url() {
        for (url, left, mode, roots) in [
            (
                "postgres://a/b",
                "postgres://a/b",
                EncryptionMode::Prefer,
                None,
            ),
            (
                "host=a sslmode=disable",
                "host=a sslmode=disable",
                EncryptionMode::Prefer,
                None,
            ),
            (
                "postgres://a?sslmode=disable",
                "postgres://a",
                EncryptionMode::Disable,
                None,
            ),
            (
                "postgres://a?x=1&sslmode=require&y=2",
                "postgres://a?x=1&y=2",
                EncryptionMode::Require,
                None,
            ),
            (
                "postgres://a?sslrootcert=%2Fetc%2Fca.pem&sslmode=require",
                "postgres://a",
                EncryptionMode::VerifyCa,
                Some("/etc/ca.pem"),
            ),
            (
                "postgres://a?sslmode=verify-ca",
                "postgres://a",
                EncryptionMode::VerifyCa,
                None,
            ),
            (
                "postgres://a?sslmode=verify-full&sslrootcert=/ca",
                "postgres://a",
                EncryptionMode::VerifyFull,
                Some("/ca"),
            ),
            (
                "postgres://a?sslrootcert=system",
                "postgres://a",
                EncryptionMode::VerifyFull,
                None,
            ),
        ] {
            let (rest, encryption) = Encryption::split(url).unwrap();
            assert_eq!(rest, left);
            let roots = roots.map(PathBuf::from);
            assert_eq!(encryption, Encryption { mode, roots }, "{url}");
        }
        for url in ["postgres://a?sslmode=allow", "postgres://a?sslmode="] {
            assert_eq!(Encryption::split(url), Err(REFUSED), "{url}");
        }
    }
}
