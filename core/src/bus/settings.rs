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
