//! What a URL says: where the servers are, and the user to log in as.

use std::fmt;
use std::sync::Arc;

use midplane_core::bus::{Secrets, SettingsError, check_url};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, SslNegotiation};

use crate::encryption::{Encryption, EncryptionMode};
use crate::parameters::{Parameters, REFUSED};

/// Whether a URL may ask for TLS.
const TLS: bool = cfg!(feature = "tls");

/// What is said of a URL that asks for TLS where it is not compiled in.
const NO_TLS: SettingsError = SettingsError::MissingFeature {
    package: "midplane-postgres",
    feature: "tls",
};

/// What is said of a URL that asks for a standby.
const READ_ONLY: SettingsError = SettingsError::Url(
    "the url of postgres asks for a standby, which knows no LISTEN: name the primary",
);

/// Where the servers are, and how to log in.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) servers: Vec<Server>,
    /// The user, its password and the database. The driver takes nothing else from it.
    pub(crate) login: Config,
    pub(crate) encryption: Encryption,
    /// What is asked for the password at each connect, instead of `login`.
    pub(crate) password: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// The host's name, which its certificate must have; the address may be another.
    pub(crate) name: String,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, SettingsError> {
        if url.trim().is_empty() {
            return Err(REFUSED);
        }
        if url.contains("://") {
            check_url(url)?;
        }
        let mut parameters = Parameters::parse(url.trim())?;
        let encryption = Encryption::take(&mut parameters)?;
        // Each server is asked whether it is the primary.
        match parameters.take("target_session_attrs").as_deref() {
            None | Some("any" | "read-write" | "primary") => {}
            Some("read-only" | "standby" | "prefer-standby") => return Err(READ_ONLY),
            Some(_) => {
                let problem = "must be any, read-write or primary";
                return Err(parameters.wrong("target_session_attrs", problem));
            }
        }
        let mut login = parameters.config()?;
        let direct = login.get_ssl_negotiation() == SslNegotiation::Direct;
        let bound = login.get_channel_binding() == ChannelBinding::Require;
        if !TLS && (direct || bound || encryption.mode > EncryptionMode::Prefer) {
            return Err(NO_TLS);
        }
        login.ssl_mode(match encryption.mode {
            EncryptionMode::Disable => SslMode::Disable,
            EncryptionMode::Prefer if !direct => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if login.get_application_name().is_none() {
            login.application_name("midplane");
        }
        Ok(Self {
            servers: servers(&login)?,
            login,
            encryption,
            password: None,
        })
    }

    /// The driver's settings for one connection, and what no text about it may show.
    pub(crate) fn login(&self) -> (Config, Secrets) {
        let mut login = self.login.clone();
        if let Some(password) = &self.password {
            login.password(password());
        }
        let password = login.get_password().map(String::from_utf8_lossy);
        let secrets = match password {
            Some(password) => Secrets::default().with(&password),
            None => Secrets::default(),
        };
        (login, secrets)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(Server::to_string).collect();
        f.debug_struct("Endpoint")
            .field("servers", &servers)
            .field("database", &self.login.get_dbname())
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(host) => write!(f, "{host}:{}", self.port),
            #[cfg(unix)]
            Host::Unix(folder) => write!(f, "{} port {}", folder.display(), self.port),
        }
    }
}

/// The servers that a URL names: an address, where there is one, stands for the host at its place, and one
/// port may stand for all.
fn servers(config: &Config) -> Result<Vec<Server>, SettingsError> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    if !addresses.is_empty() && !hosts.is_empty() && addresses.len() != hosts.len() {
        return Err(REFUSED);
    }
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(REFUSED);
    }
    let ports = config.get_ports();
    if ports.len() > 1 && ports.len() != count {
        return Err(REFUSED);
    }
    let server = |index: usize| Server {
        host: match addresses.get(index) {
            Some(address) => Host::Tcp(address.to_string()),
            None => hosts[index].clone(),
        },
        name: match (hosts.get(index), addresses.get(index)) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (_, Some(address)) => address.to_string(),
            (_, None) => String::new(),
        },
        port: ports
            .get(index)
            .or_else(|| ports.first())
            .copied()
            .unwrap_or(5432),
    };
    Ok((0..count).map(server).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Vec<String> {
        let endpoint = Endpoint::parse(url).unwrap();
        endpoint.servers.iter().map(Server::to_string).collect()
    }

    #[test]
    fn a_url_names_one_server_or_several() {
        assert_eq!(addresses("postgres://a/shop"), ["a:5432"]);
        assert_eq!(addresses("host=a,b port=1,2"), ["a:1", "b:2"]);
        assert_eq!(addresses("host=a,b port=7"), ["a:7", "b:7"]);
        assert_eq!(addresses("host=a hostaddr=10.0.0.1"), ["10.0.0.1:5432"]);
        assert_eq!(addresses("host=/run/pg port=7"), ["/run/pg port 7"]);
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for (url, expected) in [
            ("", REFUSED),
            ("user=ada", REFUSED),
            ("postgres://a:port", REFUSED),
            ("host=a,b port=1,2,3", REFUSED),
            ("postgres://a/?target_session_attrs=read-only", READ_ONLY),
            ("host=a target_session_attrs=standby", READ_ONLY),
        ] {
            assert_eq!(Endpoint::parse(url).err(), Some(expected), "{url}");
        }
    }

    #[test]
    fn a_parameter_that_is_not_understood_is_named() {
        for (url, named) in [
            ("postgres://u:s3cret@a/b?sslcert=c", "`sslcert`"),
            ("postgres://u:s3cret@a/b?ssl=yes", "`ssl`"),
            ("postgres://u:s3cret@a/b?sslmode=allow", "`sslmode`"),
            (
                "postgres://u:s3cret@a/b?target_session_attrs=leader",
                "`target_session_attrs`",
            ),
            ("host=a password=s3cret sslcrl=/c", "`sslcrl`"),
        ] {
            let refused = Endpoint::parse(url).expect_err(url);
            assert!(refused.to_string().contains(named), "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("s3cret"));
        }
        for url in [
            "postgres://a/b?target_session_attrs=primary",
            "host=a target_session_attrs=read-write",
        ] {
            assert!(Endpoint::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn tls_is_asked_for_or_is_not_compiled_in() {
        for (url, expected) in [
            ("host=a", EncryptionMode::Prefer),
            ("host=a sslmode=disable", EncryptionMode::Disable),
            ("host=a sslmode=require", EncryptionMode::Require),
            ("host=a sslmode=verify-full", EncryptionMode::VerifyFull),
            ("postgres://a?ssl=true", EncryptionMode::Require),
            ("postgres://a?sslmode=require", EncryptionMode::Require),
            (
                "postgres://a?sslmode=verify-full",
                EncryptionMode::VerifyFull,
            ),
            (
                "postgres://a?sslrootcert=system",
                EncryptionMode::VerifyFull,
            ),
        ] {
            let mode = Endpoint::parse(url).map(|endpoint| endpoint.encryption.mode);
            if TLS || expected <= EncryptionMode::Prefer {
                assert_eq!(mode, Ok(expected), "{url}");
            } else {
                assert_eq!(mode, Err(NO_TLS), "{url}");
            }
        }
    }

    #[test]
    fn no_password_is_shown() {
        let endpoint = Endpoint::parse("postgres://ada:s3cret@a/shop").unwrap();
        assert!(!format!("{endpoint:?}").contains("s3cret"));
        let error = Endpoint::parse("postgres://app:top@hunter2@127.0.0.1:1/db").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
