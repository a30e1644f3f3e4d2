//! What a URL says: where the servers are, and the user to log in as.

use std::fmt;
use std::path::PathBuf;

use async_nats::ServerAddr;
use midplane_core::bus::{SettingsError, check_url, url_parameters};
use percent_encoding::percent_decode_str;

/// What is said of a URL that is none of NATS.
const REFUSED: SettingsError = SettingsError::Url(
    "the url of nats must be like nats://user:password@host:4222 or nats://token@host, several of them with commas \
     between",
);

/// What is said of a URL of another scheme that the driver knows.
const SCHEME: SettingsError =
    SettingsError::Url("the url of nats must start with nats:// or tls://");

/// What is said of two URLs that log in differently.
const CREDENTIALS: SettingsError = SettingsError::Url(
    "the urls of nats carry different credentials, and all servers must take the same",
);

/// Where the servers are, and how to log in.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The servers of one cluster, without the credentials that were in the URLs.
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) login: Login,
}

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Anonymous,
    Token(String),
    Password { user: String, password: String },
    Seed(String),
    File(PathBuf),
}

impl fmt::Debug for Login {
    /// Which sort of login it is, and no credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Token(_) => "token",
            Self::Password { .. } => "password",
            Self::Seed(_) => "nkey",
            Self::File(_) => "file",
        })
    }
}

impl Endpoint {
    /// The servers of one URL, or of several with commas between them.
    pub(crate) fn parse(urls: &str) -> Result<Self, SettingsError> {
        let mut servers = Vec::new();
        let mut login = Login::Anonymous;
        for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let (server, found) = parse_one(url)?;
            servers.push(server);
            if found == Login::Anonymous {
                continue;
            }
            if login != Login::Anonymous && login != found {
                return Err(CREDENTIALS);
            }
            login = found;
        }
        if servers.is_empty() {
            return Err(REFUSED);
        }
        Ok(Self { servers, login })
    }

    /// The servers' URLs, without credentials.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        self.servers.iter().map(ServerAddr::as_url_str).collect()
    }
}

/// One server, and the credentials in its URL. The driver ignores those, and prints them in its `Debug`,
/// so they are taken out.
fn parse_one(text: &str) -> Result<(ServerAddr, Login), SettingsError> {
    check_url(text)?;
    if let Some((name, _)) = url_parameters(text).next() {
        return Err(SettingsError::unknown_parameter(text, name));
    }
    let server: ServerAddr = text.parse().map_err(|_| REFUSED)?;
    if !matches!(server.scheme(), "nats" | "tls") {
        return Err(SCHEME);
    }
    let mut url = server.into_inner();
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !bare || url.host_str().is_none_or(str::is_empty) {
        return Err(REFUSED);
    }
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from).map_err(|_| REFUSED)
    };
    let login = match (decode(url.username())?, url.password()) {
        (user, Some(password)) => Login::Password {
            user,
            password: decode(password)?,
        },
        (user, None) if user.is_empty() => Login::Anonymous,
        (token, None) => Login::Token(token),
    };
    // They fail on URLs without a host alone, and this one has one.
    let removed = url.set_username("").and_then(|()| url.set_password(None));
    removed.map_err(|()| REFUSED)?;
    let server = ServerAddr::from_url(url).map_err(|_| SCHEME)?;
    Ok((server, login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_url_and_decoded() {
        let endpoint = Endpoint::parse("nats://ada:p%40ss@a:4222, tls://b").unwrap();
        assert_eq!(endpoint.addresses(), ["nats://a:4222", "tls://b"]);
        assert!(matches!(endpoint.login, Login::Password { user, password }
            if user == "ada" && password == "p@ss"));

        let endpoint = Endpoint::parse("s3cret@a").unwrap();
        assert!(matches!(endpoint.login, Login::Token(token) if token == "s3cret"));
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for (urls, expected) in [
            ("", REFUSED),
            (" , ", REFUSED),
            ("nats://", REFUSED),
            ("nats://a:port", REFUSED),
            ("nats://a/path", REFUSED),
            ("nats://%ff@a", REFUSED),
            ("redis://a", REFUSED),
            ("ws://a", SCHEME),
            ("nats://x@a,nats://y@b", CREDENTIALS),
        ] {
            assert_eq!(Endpoint::parse(urls).err(), Some(expected), "{urls}");
        }
        assert!(Endpoint::parse("nats://app:top@hunter2@h").is_err());
        let refused = Endpoint::parse("nats://:hunter2@h?tls=true").err();
        let refused = refused.expect("it has a parameter").to_string();
        assert!(refused.contains("`tls`") && !refused.contains("hunter2"));
    }
}
