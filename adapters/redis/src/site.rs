//! Where the servers are.

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::error::SettingsError;
use crate::tls;

/// The port of a Sentinel whose URL has none.
const SENTINEL_PORT: u16 = 26_379;

/// What a URL says.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) topology: Topology,
    /// Whom to ask first: the server, or some nodes of the cluster, or the Sentinels. There is at least one.
    pub(crate) doors: Vec<ConnectionInfo>,
}

/// How the lanes come to their servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// All are on one.
    One,
    /// They are spread over the shards of a cluster.
    Cluster,
    /// All are on the master that the Sentinels know by this name.
    Sentinel(String),
}

impl Site {
    pub(crate) fn parse(url: &str) -> Result<Self, SettingsError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(SettingsError::Url)?;
        let scheme = scheme.to_ascii_lowercase();
        if let Some(base) = scheme.strip_suffix("+cluster") {
            let (authority, path) = split(rest);
            if !matches!(path, "" | "/") {
                return Err(SettingsError::Url);
            }
            return Ok(Self {
                topology: Topology::Cluster,
                doors: doors(base, authority, None)?,
            });
        }
        if let Some(base) = scheme.strip_suffix("+sentinel") {
            let (authority, path) = split(rest);
            let name = path.strip_prefix('/').ok_or(SettingsError::Url)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(SettingsError::Url);
            }
            return Ok(Self {
                topology: Topology::Sentinel(name.to_owned()),
                doors: doors(base, authority, Some(SENTINEL_PORT))?,
            });
        }
        Ok(Self {
            topology: Topology::One,
            doors: vec![info(url, None)?],
        })
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        let doors = self.doors.iter();
        doors.map(|door| door.addr().to_string()).collect()
    }
}

/// The same way in, at another address.
pub(crate) fn moved(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let address = match info.addr().clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure,
            tls_params,
        },
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone().set_addr(address)
}

/// What stands before the path, and the rest.
fn split(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Several hosts with commas between, and the same credentials for all before them.
fn doors(
    base: &str,
    authority: &str,
    port: Option<u16>,
) -> Result<Vec<ConnectionInfo>, SettingsError> {
    if !matches!(base, "redis" | "rediss" | "valkey" | "valkeys") {
        return Err(SettingsError::Url);
    }
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(at);
    hosts
        .split(',')
        .map(|host| info(&format!("{base}://{credentials}{}", host.trim()), port))
        .collect()
}

/// The driver's view of one server's URL. Its own error may quote the URL.
fn info(url: &str, default_port: Option<u16>) -> Result<ConnectionInfo, SettingsError> {
    let url = redis::parse_redis_url(url).ok_or(SettingsError::Url)?;
    if !tls::COMPILED && matches!(url.scheme(), "rediss" | "valkeys") {
        return Err(SettingsError::NoTls);
    }
    let default_port = default_port.filter(|_| url.port().is_none());
    let info = url.into_connection_info().map_err(|_| SettingsError::Url)?;
    let settings = info.redis_settings().clone();
    let info = info
        .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3))
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let host = match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => return Ok(info),
    };
    Ok(match default_port {
        Some(port) => moved(&info, &host, port),
        None => info,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_server_or_several() {
        for (url, topology, addresses) in [
            ("redis://h", Topology::One, &["h:6379"][..]),
            (
                "unix:///run/redis.sock",
                Topology::One,
                &["/run/redis.sock"],
            ),
            (
                "redis+cluster://u:p@a:1,b, [::1]:3/",
                Topology::Cluster,
                &["a:1", "b:6379", "::1:3"],
            ),
            ("Valkey+Cluster://a", Topology::Cluster, &["a:6379"]),
            (
                "valkey+sentinel://:p@a,b:7/the-master.1",
                Topology::Sentinel("the-master.1".to_owned()),
                &["a:26379", "b:7"],
            ),
        ] {
            let site = Site::parse(url).expect(url);
            assert_eq!(site.topology, topology, "{url}");
            assert_eq!(site.addresses(), addresses, "{url}");
        }
        let site = Site::parse("redis+cluster://u:p%40@a,b").expect("a url");
        for door in site.doors {
            assert_eq!(door.redis_settings().username(), Some("u"));
            assert_eq!(door.redis_settings().password(), Some("p@"));
        }
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for url in [
            "redis+cluster://",
            "redis+cluster://a,",
            "redis+cluster://a,,b",
            "redis+cluster://a/1",
            "redis+cluster://a?x",
            "redis+cluster://a:port",
            "unix+cluster://a",
            "http+cluster://a",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/x/y",
            "redis+sentinel://a/x?y",
            "redis+sentinel:///x",
            "redis+ring://a",
        ] {
            assert_eq!(Site::parse(url).err(), Some(SettingsError::Url), "{url}");
        }
    }

    #[test]
    fn a_server_that_moved_is_spoken_to_as_before() {
        let one = |url: &str| Site::parse(url).expect(url).doors.remove(0);
        let elsewhere = moved(&one("redis://u:p@a:1"), "b", 2);
        assert_eq!(elsewhere.addr().to_string(), "b:2");
        assert_eq!(elsewhere.redis_settings().password(), Some("p"));
        if tls::COMPILED {
            let secure = moved(&one("rediss://a:1"), "b", 2);
            assert!(
                matches!(secure.addr(), ConnectionAddr::TcpTls { host, port: 2, insecure: false, .. } if host == "b")
            );
        }
    }
}
