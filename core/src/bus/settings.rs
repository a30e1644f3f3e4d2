//! What is wrong with an adapter's settings.

use alloc::borrow::ToOwned;
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
    /// A parameter of the URL, behind its `?`, is none that the adapter takes.
    Parameter {
        /// The parameter's name, or nothing where that may be a part of a password.
        name: String,
        /// What is wrong with the parameter.
        problem: &'static str,
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
            Self::Parameter { name, problem } if name.is_empty() => {
                write!(f, "a parameter of the url {problem}")
            }
            Self::Parameter { name, problem } => {
                write!(f, "the parameter `{name}` of the url {problem}")
            }
            Self::Prefix(error) => error.fmt(f),
            Self::Value { setting, message } => write!(f, "the {setting} {message}"),
        }
    }
}

impl SettingsError {
    /// The error of a parameter that no adapter of this package takes.
    #[must_use]
    pub fn unknown_parameter(url: &str, name: &str) -> Self {
        Self::parameter(url, name, "is not supported here, or is misspelt")
    }

    /// The error of a parameter of this URL. The name is kept where it cannot be a part of a password: that of a URL whose
    /// last `@` stands before the `?`, and made of letters and underscores.
    #[must_use]
    pub fn parameter(url: &str, name: &str, problem: &'static str) -> Self {
        let (place, query) = url.split_once('?').unwrap_or(("", url));
        let sound = place.contains('@') || !query.contains('@');
        let plain = |c: char| c.is_ascii_alphabetic() || c == '_';
        let name = match sound && name.len() <= 40 && name.chars().all(plain) {
            true => name.to_owned(),
            false => String::new(),
        };
        Self::Parameter { name, problem }
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

/// The parameters of a URL as they stand behind its `?`, each with its name and its value; one without a `=` has an
/// empty value.
pub fn url_parameters(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let (url, _) = url.split_once('#').unwrap_or((url, ""));
    let (_, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_parameter_is_named_unless_it_may_be_a_part_of_a_password() {
        for (url, name, shown) in [
            ("redis://h?protocl=3", "protocl", true),
            ("redis://:p%40@h?protocl=a@b", "protocl", true),
            ("postgres://app:5?hunter=x@h/db", "hunter", false),
            ("postgres://app@h/db?hunter2", "hunter2", false),
        ] {
            let error = SettingsError::unknown_parameter(url, name);
            assert_eq!(error.to_string().contains(name), shown, "{error}");
            assert!(error.to_string().contains("parameter"), "{error}");
        }
        let pairs = |url: &'static str| url_parameters(url).collect::<Vec<_>>();
        assert_eq!(
            pairs("a://b?c=d&&e&f=g=h#i?j=k"),
            [("c", "d"), ("e", ""), ("f", "g=h")]
        );
        assert_eq!(pairs("a://b"), []);
    }

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
