//! Where the servers are, how to log in, and what the bus is set to.

use std::fmt;
use std::path::PathBuf;

use async_nats::ServerAddr;
use midplane_core::bus::{BusError, BusErrorKind, Lane};
use percent_encoding::percent_decode_str;

use crate::error::SettingsError;
use crate::tls;

/// The longest prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 128;

/// Everything that was set, parsed.
#[derive(Clone)]
pub(crate) struct Options {
    /// Without the credentials that were in the URLs.
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) login: Login,
    pub(crate) prefix: String,
    pub(crate) frame_limit: usize,
    pub(crate) queue: usize,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
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

impl Options {
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
                return Err(SettingsError::Credentials);
            }
            login = found;
        }
        if servers.is_empty() {
            return Err(SettingsError::Url);
        }
        Ok(Self {
            servers,
            login,
            prefix: String::from("midplane"),
            frame_limit: 1 << 20,
            queue: 16 << 20,
            root_certificates: None,
            client_certificate: None,
        })
    }

    pub(crate) fn set_prefix(&mut self, prefix: &str) -> Result<(), SettingsError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let token = |token: &str| !token.is_empty() && token.chars().all(plain);
        if prefix.len() > MAX_PREFIX_BYTES || !prefix.split('.').all(token) {
            return Err(SettingsError::Prefix(String::from(prefix)));
        }
        self.prefix = String::from(prefix);
        Ok(())
    }

    /// The servers' URLs, without credentials.
    pub(crate) fn servers(&self) -> Vec<&str> {
        self.servers.iter().map(ServerAddr::as_url_str).collect()
    }

    /// The subject of a lane.
    pub(crate) fn subject(&self, lane: Lane) -> String {
        format!("{}.{lane}", self.prefix)
    }

    /// The driver's options for one link. Files are read here, anew for each link.
    pub(crate) async fn driver(&self) -> Result<async_nats::ConnectOptions, BusError> {
        let options = async_nats::ConnectOptions::new()
            .name("midplane")
            .tls_client_config(tls::config(self)?);
        Ok(match &self.login {
            Login::Anonymous => options,
            Login::Token(token) => options.token(token.clone()),
            Login::Password { user, password } => {
                options.user_and_password(user.clone(), password.clone())
            }
            Login::Seed(seed) => options.nkey(seed.clone()),
            Login::File(path) => options.credentials_file(path).await.map_err(|error| {
                let message = format!("no credentials in the file {}", path.display());
                BusError::new(BusErrorKind::Denied, message).caused_by(error)
            })?,
        })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match self.login {
            Login::Anonymous => "anonymous",
            Login::Token(_) => "token",
            Login::Password { .. } => "password",
            Login::Seed(_) => "nkey",
            Login::File(_) => "file",
        };
        f.debug_struct("Nats")
            .field("servers", &self.servers())
            .field("login", &login)
            .field("prefix", &self.prefix)
            .field("frame_limit", &self.frame_limit)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// One server, and the credentials in its URL. The driver ignores those, and prints them in its `Debug`,
/// so they are taken out.
fn parse_one(text: &str) -> Result<(ServerAddr, Login), SettingsError> {
    let server: ServerAddr = text.parse().map_err(|_| SettingsError::Url)?;
    if !matches!(server.scheme(), "nats" | "tls") {
        return Err(SettingsError::Scheme);
    }
    let mut url = server.into_inner();
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !bare || url.host_str().is_none_or(str::is_empty) {
        return Err(SettingsError::Url);
    }
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from).map_err(|_| SettingsError::Url)
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
    removed.map_err(|()| SettingsError::Url)?;
    let server = ServerAddr::from_url(url).map_err(|_| SettingsError::Scheme)?;
    Ok((server, login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_url_and_decoded() {
        let options = Options::parse("nats://ada:p%40ss@a:4222, tls://b").unwrap();
        assert_eq!(options.servers(), ["nats://a:4222", "tls://b"]);
        assert!(matches!(&options.login, Login::Password { user, password }
            if user == "ada" && password == "p@ss"));
        assert!(!format!("{options:?}").contains("p@ss"));
        assert!(!format!("{options:?}").contains("ada"));

        let options = Options::parse("s3cret@a").unwrap();
        assert!(matches!(&options.login, Login::Token(token) if token == "s3cret"));
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for (urls, expected) in [
            ("", SettingsError::Url),
            (" , ", SettingsError::Url),
            ("nats://", SettingsError::Url),
            ("nats://a:port", SettingsError::Url),
            ("nats://a/path", SettingsError::Url),
            ("nats://%ff@a", SettingsError::Url),
            ("redis://a", SettingsError::Url),
            ("ws://a", SettingsError::Scheme),
            ("nats://x@a,nats://y@b", SettingsError::Credentials),
        ] {
            assert_eq!(Options::parse(urls).err(), Some(expected), "{urls}");
        }
    }

    #[test]
    fn a_prefix_is_one_or_more_plain_tokens() {
        let mut options = Options::parse("a").unwrap();
        options.set_prefix("shop.eu-1_x").unwrap();
        assert_eq!(options.subject(Lane(7)), "shop.eu-1_x.7");
        let long = "a".repeat(MAX_PREFIX_BYTES + 1);
        for prefix in ["", ".a", "a.", "a..b", "a.*", "a b", "ä", &long] {
            let refused = SettingsError::Prefix(String::from(prefix));
            assert_eq!(options.set_prefix(prefix), Err(refused));
        }
        assert_eq!(options.subject(Lane(7)), "shop.eu-1_x.7");
    }
}
