//! The parameters of a URL, or of keys and values, one by one: so that an error can name the one it is about.

use std::borrow::Cow;

use midplane_core::bus::{SettingsError, url_parameters};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_postgres::Config;

/// What is said of text that is neither a URL of Postgres nor keys and values.
pub(crate) const REFUSED: SettingsError = SettingsError::Url(
    "the url of postgres must be like postgres://user:password@host:5432/database, or keys and values like host=h user=u",
);

/// What the driver takes itself.
const TAKEN: [&str; 19] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Where a server is and how to speak to it, as libpq writes it.
pub(crate) struct Parameters<'a> {
    text: &'a str,
    /// What stands before the `?` of a URL.
    place: Option<&'a str>,
    pairs: Vec<(Cow<'a, str>, String)>,
}

impl<'a> Parameters<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, SettingsError> {
        if !text.contains("://") {
            let pairs = keys_and_values(text).ok_or(REFUSED)?;
            let place = None;
            return Ok(Self { text, place, pairs });
        }
        let (place, _) = text.split_once('?').unwrap_or((text, ""));
        let pairs = url_parameters(text).map(|(name, value)| {
            let decoded = percent_decode_str(value).decode_utf8();
            let problem = "has a value that is no text";
            let value = decoded.map_err(|_| SettingsError::parameter(text, name, problem))?;
            Ok((Cow::Borrowed(name), value.into_owned()))
        });
        Ok(Self {
            text,
            place: Some(place),
            pairs: pairs.collect::<Result<_, SettingsError>>()?,
        })
    }

    /// Takes a parameter out; of several of one name, the last counts.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let taken = self.pairs.extract_if(.., |(known, _)| known == name);
        taken.last().map(|(_, value)| value)
    }

    /// The error of a parameter's value.
    pub(crate) fn wrong(&self, name: &str, problem: &'static str) -> SettingsError {
        SettingsError::parameter(self.text, name, problem)
    }

    /// What the driver makes of the rest.
    pub(crate) fn config(&self) -> Result<Config, SettingsError> {
        for (name, value) in &self.pairs {
            if !TAKEN.contains(&&**name) {
                return Err(SettingsError::unknown_parameter(self.text, name));
            }
            if quoted(name, value).parse::<Config>().is_err() {
                return Err(self.wrong(name, "has a value that is not understood"));
            }
        }
        let text = match self.place {
            Some(place) => {
                let encoded = |value| utf8_percent_encode(value, NON_ALPHANUMERIC);
                let pairs = self.pairs.iter();
                let pairs = pairs.map(|(name, value)| format!("{name}={}", encoded(value)));
                let pairs: Vec<_> = pairs.collect();
                match pairs.is_empty() {
                    true => place.to_owned(),
                    false => format!("{place}?{}", pairs.join("&")),
                }
            }
            None => {
                let pairs = self.pairs.iter();
                let pairs: Vec<_> = pairs.map(|(name, value)| quoted(name, value)).collect();
                pairs.join(" ")
            }
        };
        text.parse().map_err(|_| REFUSED)
    }
}

fn quoted(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("{name}='{value}'")
}

/// Keys and values as libpq has them: `key = value`, the value between single quotes if there is a space in it, with a
/// backslash before a quote or a backslash.
fn keys_and_values<'a>(text: &str) -> Option<Vec<(Cow<'a, str>, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let mut characters = behind.trim_start().chars();
        let is_quoted = characters.as_str().starts_with('\'');
        if is_quoted {
            characters.next();
        }
        let mut value = String::new();
        loop {
            let before = characters.clone();
            match characters.next() {
                Some('\\') => value.push(characters.next()?),
                Some('\'') if is_quoted => break,
                Some(space) if !is_quoted && space.is_whitespace() => break,
                Some(other) => value.push(other),
                None if is_quoted => return None,
                None => {
                    characters = before;
                    break;
                }
            }
        }
        pairs.push((Cow::Owned(name.trim().to_owned()), value));
        rest = characters.as_str().trim_start();
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_read_as_libpq_reads_them() {
        let read = |text| {
            let pairs = keys_and_values(text)?;
            let pairs = pairs.into_iter();
            Some(
                pairs
                    .map(|(name, value)| format!("{name}:{value}"))
                    .collect::<Vec<_>>(),
            )
        };
        let expected = ["host:a b", "user:o'\\x", "password:", "port:7"];
        let text = r"host = 'a b' user=o\'\\x  password='' port=7 ";
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("").unwrap(), [""; 0]);
        for text in ["host", "host='a", r"host=a\"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_parameter_that_is_not_taken_is_named() {
        for (text, named) in [
            ("postgres://u:p@a/b?sslcert=/c", "`sslcert`"),
            ("postgres://a/b?aplication_name=c", "`aplication_name`"),
            ("postgres://a/b?keepalives=maybe", "`keepalives`"),
            ("host=a sslkey='/k'", "`sslkey`"),
            ("host=a port=many", "`port`"),
        ] {
            let refused = Parameters::parse(text).unwrap().config().unwrap_err();
            assert!(refused.to_string().contains(named), "{refused}");
            assert!(!refused.to_string().contains("many"), "{refused}");
        }
        for text in ["postgres://a:port", "postgres://"] {
            let refused = Parameters::parse(text).and_then(|parameters| parameters.config());
            assert!(matches!(refused, Err(REFUSED) | Ok(_)), "{text}");
        }
    }

    #[test]
    fn what_is_taken_reaches_the_driver_as_it_was() {
        for text in [
            "postgres://ada:p%27w@a,b:7/shop?application_name=it%27s%20%5C&user=eve",
            r"host=a,b port=5432,7 user=eve password='p\'w' dbname=shop application_name='it\'s \\'",
        ] {
            let config = Parameters::parse(text).unwrap().config().unwrap();
            assert_eq!(config.get_application_name(), Some("it's \\"));
            assert_eq!(config.get_user(), Some("eve"));
            assert_eq!(config.get_password(), Some(&b"p'w"[..]));
            assert_eq!(config.get_dbname(), Some("shop"));
            assert_eq!(config.get_ports(), [5432, 7]);
        }
    }

    #[test]
    fn a_parameter_is_taken_out_and_the_last_counts() {
        let text = "postgres://a?sslmode=disable&x=1&sslmode=require";
        let mut parameters = Parameters::parse(text).unwrap();
        assert_eq!(parameters.take("sslmode").as_deref(), Some("require"));
        assert_eq!(parameters.take("sslmode"), None);
        assert_eq!(parameters.pairs.len(), 1);
    }
}
