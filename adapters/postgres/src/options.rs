//! Where the servers are, how to log in, and what the bus is set to.

use std::fmt;
use std::sync::Arc;

use midplane_core::bus::Lane;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};

use crate::error::SettingsError;
use crate::security::{Mode, Security};
use crate::tls;

/// The longest prefix, in bytes: Postgres cuts names at 63, and a lane adds 11.
const MAX_PREFIX_BYTES: usize = 52;

/// Everything that was set, parsed.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) servers: Vec<Server>,
    /// Who we are. The driver takes nothing else from it.
    pub(crate) login: Config,
    pub(crate) security: Security,
    /// What is asked for the password at each connect, instead of `login`.
    pub(crate) password: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    pub(crate) prefix: String,
    pub(crate) queue: usize,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// What the host is called, whatever its address: its certificate must have this name.
    pub(crate) name: String,
}

impl Options {
    pub(crate) fn parse(url: &str) -> Result<Self, SettingsError> {
        if url.trim().is_empty() {
            return Err(SettingsError::Url);
        }
        let (rest, mut security) = Security::split(url.trim())?;
        let mut login: Config = rest.parse().map_err(|_| SettingsError::Url)?;
        // What is left in it was not said in a URL.
        security.mode = match login.get_ssl_mode() {
            SslMode::Prefer => security.mode,
            SslMode::Disable => Mode::Disable,
            _ => Mode::Require,
        };
        let direct = login.get_ssl_negotiation() == SslNegotiation::Direct;
        if !tls::COMPILED && (direct || security.mode > Mode::Prefer) {
            return Err(SettingsError::NoTls);
        }
        login.ssl_mode(match security.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer if !direct => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if login.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            return Err(SettingsError::ReadOnly);
        }
        if login.get_application_name().is_none() {
            login.application_name("midplane");
        }
        Ok(Self {
            servers: servers(&login)?,
            login,
            security,
            password: None,
            prefix: String::from("midplane"),
            queue: 16 << 20,
        })
    }

    pub(crate) fn set_prefix(&mut self, prefix: &str) -> Result<(), SettingsError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=MAX_PREFIX_BYTES).contains(&prefix.len()) || !prefix.chars().all(plain) {
            return Err(SettingsError::Prefix(String::from(prefix)));
        }
        self.prefix = String::from(prefix);
        Ok(())
    }

    /// The channel of a lane. Nothing in it needs escaping between double quotes.
    pub(crate) fn channel(&self, lane: Lane) -> String {
        format!("{}_{lane}", self.prefix)
    }

    /// The lane of a channel.
    pub(crate) fn lane(&self, channel: &str) -> Option<Lane> {
        let lane = channel.strip_prefix(&self.prefix)?.strip_prefix('_')?;
        lane.parse().ok()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(Server::to_string).collect();
        f.debug_struct("Postgres")
            .field("servers", &servers)
            .field("database", &self.login.get_dbname())
            .field("security", &self.security)
            .field("prefix", &self.prefix)
            .field("queue", &self.queue)
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
        return Err(SettingsError::Url);
    }
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(SettingsError::Url);
    }
    let ports = config.get_ports();
    if ports.len() > 1 && ports.len() != count {
        return Err(SettingsError::Url);
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
        let options = Options::parse(url).unwrap();
        options.servers.iter().map(Server::to_string).collect()
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
            ("", SettingsError::Url),
            ("user=ada", SettingsError::Url),
            ("postgres://a:port", SettingsError::Url),
            ("host=a,b port=1,2,3", SettingsError::Url),
            ("postgres://a/?sslmode=allow", SettingsError::Url),
            ("host=a sslmode=verify-full", SettingsError::Url),
            (
                "postgres://a/?target_session_attrs=read-only",
                SettingsError::ReadOnly,
            ),
        ] {
            assert_eq!(Options::parse(url).err(), Some(expected), "{url}");
        }
    }

    #[test]
    fn tls_is_asked_for_or_is_not_compiled_in() {
        for (url, expected) in [
            ("host=a", Mode::Prefer),
            ("host=a sslmode=disable", Mode::Disable),
            ("host=a sslmode=require", Mode::Require),
            ("postgres://a?sslmode=require", Mode::Require),
            ("postgres://a?sslmode=verify-full", Mode::VerifyFull),
            ("postgres://a?sslrootcert=system", Mode::VerifyFull),
        ] {
            let mode = Options::parse(url).map(|options| options.security.mode);
            if tls::COMPILED || expected <= Mode::Prefer {
                assert_eq!(mode, Ok(expected), "{url}");
            } else {
                assert_eq!(mode, Err(SettingsError::NoTls), "{url}");
            }
        }
    }

    #[test]
    fn no_password_is_shown() {
        let options = Options::parse("postgres://ada:s3cret@a/shop").unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn a_channel_tells_its_lane_and_fits_a_name() {
        let mut options = Options::parse("host=a").unwrap();
        let prefix = "p_1-".repeat(13);
        options.set_prefix(&prefix).unwrap();
        let channel = options.channel(Lane(u32::MAX - 1));
        assert_eq!(channel.len(), 63);
        assert_eq!(options.lane(&channel), Some(Lane(u32::MAX - 1)));
        assert_eq!(options.lane("midplane_0"), None);
        for prefix in ["", "a\"b", "a.b", "a b", "ä", &format!("{prefix}x")] {
            let refused = SettingsError::Prefix(String::from(prefix));
            assert_eq!(options.set_prefix(prefix), Err(refused));
        }
    }
}
