//! What is wrong with an adapter's settings.

use alloc::string::String;
use core::error::Error;
use core::fmt;

use super::prefix::PrefixError;

/// Why an adapter cannot be made of its settings. No message holds the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The URL is none that the adapter takes. The text says what the URL must be like.
    Url(&'static str),
    /// The URL asks for what is not compiled in.
    MissingFeature {
        /// The adapter's crate.
        package: &'static str,
        /// The feature of that crate that is missing.
        feature: &'static str,
    },
    /// The prefix is none that the adapter takes.
    Prefix(PrefixError),
    /// Another setting has a value that the adapter does not take.
    Value {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with the value.
        message: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(message) => f.write_str(message),
            Self::MissingFeature { package, feature } => write!(
                f,
                "the url asks for {feature}: compile {package} with its feature `{feature}`"
            ),
            Self::Prefix(error) => error.fmt(f),
            Self::Value { setting, message } => write!(f, "the {setting} {message}"),
        }
    }
}

impl Error for SettingsError {}

impl From<PrefixError> for SettingsError {
    fn from(error: PrefixError) -> Self {
        Self::Prefix(error)
    }
}

/// Refuses a URL with more than one `@` before its query: what stands behind the first would be taken for the host, and
/// shown, though it may be the rest of a password.
///
/// # Errors
/// When there is another `@`.
pub fn check_url(url: &str) -> Result<(), SettingsError> {
    let (place, _) = url.split_once('?').unwrap_or((url, ""));
    match place.matches('@').count() {
        0 | 1 => Ok(()),
        _ => Err(SettingsError::Url(
            "a url has one '@', between the credentials and the host: write one that is in a password as %40",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_an_at_sign_is_never_taken_for_a_host() {
        for url in [
            "postgres://app:top@hunter2@127.0.0.1:1/db",
            "redis://:top@hunter2@h",
            "postgres://app:5/hunter2@h/a@b",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
        for url in [
            "redis://h",
            "redis://:top%40hunter2@h",
            "postgres://a@h/d?user=b@c",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
    }
}
