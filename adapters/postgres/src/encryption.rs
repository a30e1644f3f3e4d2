//! How a connection is kept from others, as libpq's `sslmode` and `sslrootcert` say.

use std::path::PathBuf;

use midplane_core::bus::SettingsError;

use crate::parameters::Parameters;

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
    /// Takes `sslmode`, `sslrootcert` and `ssl` out of the parameters: the driver knows neither all modes nor certificates.
    pub(crate) fn take(parameters: &mut Parameters<'_>) -> Result<Self, SettingsError> {
        let mode = match (parameters.take("sslmode"), parameters.take("ssl")) {
            (Some(mode), _) => {
                let known = EncryptionMode::parse(&mode);
                let problem = "must be disable, prefer, require, verify-ca or verify-full";
                Some(known.ok_or_else(|| parameters.wrong("sslmode", problem))?)
            }
            // As JDBC writes it, and libpq reads it.
            (None, Some(ssl)) if ssl == "true" => Some(EncryptionMode::Require),
            (None, Some(_)) => return Err(parameters.wrong("ssl", "must be true: use sslmode")),
            (None, None) => None,
        };
        let roots = parameters.take("sslrootcert").map(PathBuf::from);
        if roots
            .as_ref()
            .is_some_and(|roots| roots.as_os_str() == "system")
        {
            return Ok(Self {
                mode: EncryptionMode::VerifyFull,
                roots: None,
            });
        }
        // As libpq has it: certificates that are named are used, and the system's only where names are checked too.
        let mode = match (mode, &roots) {
            (Some(EncryptionMode::Require), Some(_)) => EncryptionMode::VerifyCa,
            (Some(mode), _) => mode,
            (None, _) => EncryptionMode::Prefer,
        };
        Ok(Self { mode, roots })
    }
}

impl EncryptionMode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<Encryption, SettingsError> {
        Encryption::take(&mut Parameters::parse(text).unwrap())
    }

    #[test]
    fn what_is_said_of_security_is_as_libpq_has_it() {
        for (text, mode, roots) in [
            ("postgres://a/b", EncryptionMode::Prefer, None),
            ("host=a sslmode=disable", EncryptionMode::Disable, None),
            (
                "host=a sslmode=verify-full",
                EncryptionMode::VerifyFull,
                None,
            ),
            (
                "host=a sslmode=require sslrootcert='/a b'",
                EncryptionMode::VerifyCa,
                Some("/a b"),
            ),
            (
                "postgres://a?sslmode=disable",
                EncryptionMode::Disable,
                None,
            ),
            (
                "postgres://a?x=1&sslmode=require&y=2",
                EncryptionMode::Require,
                None,
            ),
            ("postgres://a?ssl=true", EncryptionMode::Require, None),
            (
                "postgres://a?sslrootcert=%2Fetc%2Fca.pem&sslmode=require",
                EncryptionMode::VerifyCa,
                Some("/etc/ca.pem"),
            ),
            (
                "postgres://a?sslmode=verify-ca",
                EncryptionMode::VerifyCa,
                None,
            ),
            (
                "postgres://a?sslmode=verify-full&sslrootcert=/ca",
                EncryptionMode::VerifyFull,
                Some("/ca"),
            ),
            (
                "postgres://a?sslrootcert=system",
                EncryptionMode::VerifyFull,
                None,
            ),
        ] {
            let roots = roots.map(PathBuf::from);
            assert_eq!(take(text), Ok(Encryption { mode, roots }), "{text}");
        }
        for (text, named) in [
            ("postgres://a?sslmode=allow", "`sslmode`"),
            ("postgres://a?sslmode=", "`sslmode`"),
            ("postgres://a?ssl=1", "`ssl`"),
            ("host=a sslmode=full", "`sslmode`"),
        ] {
            let refused = take(text).unwrap_err();
            assert!(refused.to_string().contains(named), "{refused}");
        }
    }
}
