//! What a URL says: where the servers are, and the user to log in as.

use midplane_core::bus::{SettingsError, check_url, url_parameters};
use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// Whether a URL may ask for TLS.
pub(crate) const TLS: bool = cfg!(feature = "tls");

/// What is said of a URL that asks for TLS where it is not compiled in.
const NO_TLS: SettingsError = SettingsError::MissingFeature {
    package: "midplane-redis",
    feature: "tls",
};

/// What is said of a URL that is none of Redis.
const REFUSED: SettingsError = SettingsError::Url(
    "the url of redis must be like redis://user:password@host:6379, the scheme one of redis, rediss, valkey, valkeys, \
     unix, redis+unix and valkey+unix; like redis+cluster://user:password@host:6379,host:6379; or like \
     redis+sentinel://user:password@host:26379,host:26379/name",
);

/// What is said of a URL with a fragment, by which the driver would check no certificate.
const FRAGMENT: SettingsError = SettingsError::Url(
    "the url of redis has something behind a '#', which is not supported: certificates are always checked",
);

/// The port of a Sentinel whose URL has none.
const SENTINEL_PORT: u16 = 26_379;

/// Where the servers are.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) deployment: Deployment,
    /// The addresses to ask first: the server, or some nodes of the cluster, or the Sentinels. There is at least one.
    pub(crate) seeds: Vec<ConnectionInfo>,
}

/// How the servers are deployed, and with that which of them a lane is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deployment {
    /// One server, which has all lanes.
    Single,
    /// A cluster, over whose shards the lanes are spread.
    Cluster,
    /// The master that the Sentinels know by this name, which has all lanes.
    Sentinel(String),
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, SettingsError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or(REFUSED)?;
        check_url(url)?;
        let scheme = scheme.to_ascii_lowercase();
        check_parameters(&scheme, url)?;
        if let Some(base) = scheme.strip_suffix("+cluster") {
            let (authority, path) = split(rest);
            if !matches!(path, "" | "/") {
                return Err(REFUSED);
            }
            return Ok(Self {
                deployment: Deployment::Cluster,
                seeds: seeds(base, authority, None)?,
            });
        }
        if let Some(base) = scheme.strip_suffix("+sentinel") {
            let (authority, path) = split(rest);
            let name = path.strip_prefix('/').ok_or(REFUSED)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(REFUSED);
            }
            return Ok(Self {
                deployment: Deployment::Sentinel(name.to_owned()),
                seeds: seeds(base, authority, Some(SENTINEL_PORT))?,
            });
        }
        Ok(Self {
            deployment: Deployment::Single,
            seeds: vec![info(url, None)?],
        })
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        let seeds = self.seeds.iter();
        seeds.map(|seed| seed.addr().to_string()).collect()
    }
}

/// How to connect to another server of the same deployment, as this one is connected to.
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

/// Refuses what the driver would overlook.
fn check_parameters(scheme: &str, url: &str) -> Result<(), SettingsError> {
    if url.contains('#') {
        return Err(FRAGMENT);
    }
    let is_socket = matches!(scheme, "unix" | "redis+unix" | "valkey+unix");
    for (name, value) in url_parameters(url) {
        match name {
            "protocol" if matches!(value, "3" | "resp3") => {}
            "protocol" => return Err(SettingsError::parameter(url, name, "must be resp3")),
            "db" | "user" | "pass" if is_socket => {}
            _ => return Err(SettingsError::unknown_parameter(url, name)),
        }
    }
    Ok(())
}

/// What stands before the path, and the rest.
fn split(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// Several hosts with commas between, and the same credentials for all before them.
fn seeds(
    base: &str,
    authority: &str,
    port: Option<u16>,
) -> Result<Vec<ConnectionInfo>, SettingsError> {
    if !matches!(base, "redis" | "rediss" | "valkey" | "valkeys") {
        return Err(REFUSED);
    }
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (credentials, hosts) = authority.split_at(at);
    hosts
        .split(',')
        .map(|host| info(&format!("{base}://{credentials}{}", host.trim()), port))
        .collect()
}

/// What the driver makes of the URL of one server. The driver's own error may quote the URL, so it is not kept.
fn info(url: &str, default_port: Option<u16>) -> Result<ConnectionInfo, SettingsError> {
    let url = redis::parse_redis_url(url).ok_or(REFUSED)?;
    if !TLS && matches!(url.scheme(), "rediss" | "valkeys") {
        return Err(NO_TLS);
    }
    let default_port = default_port.filter(|_| url.port().is_none());
    let info = url.into_connection_info().map_err(|_| REFUSED)?;
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
        for (url, deployment, addresses) in [
            ("redis://h", Deployment::Single, &["h:6379"][..]),
            (
                "unix:///run/redis.sock",
                Deployment::Single,
                &["/run/redis.sock"],
            ),
            (
                "redis+cluster://u:p@a:1,b, [::1]:3/",
                Deployment::Cluster,
                &["a:1", "b:6379", "::1:3"],
            ),
            ("Valkey+Cluster://a", Deployment::Cluster, &["a:6379"]),
            (
                "valkey+sentinel://:p@a,b:7/the-master.1",
                Deployment::Sentinel("the-master.1".to_owned()),
                &["a:26379", "b:7"],
            ),
        ] {
            let endpoint = Endpoint::parse(url).expect(url);
            assert_eq!(endpoint.deployment, deployment, "{url}");
            assert_eq!(endpoint.addresses(), addresses, "{url}");
        }
        let endpoint = Endpoint::parse("redis+cluster://u:p%40@a,b").expect("a url");
        for seed in endpoint.seeds {
            assert_eq!(seed.redis_settings().username(), Some("u"));
            assert_eq!(seed.redis_settings().password(), Some("p@"));
        }
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for url in [
            "redis+cluster://",
            "redis+cluster://a,",
            "redis+cluster://a,,b",
            "redis+cluster://a/1",
            "redis+cluster://a:port",
            "unix+cluster://a",
            "http+cluster://a",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/x/y",
            "redis+sentinel:///x",
            "redis+ring://a",
        ] {
            assert_eq!(Endpoint::parse(url).err(), Some(REFUSED), "{url}");
        }
    }

    #[test]
    fn a_parameter_that_is_not_understood_is_named() {
        for (url, named) in [
            ("redis://:hunter2@h?timeout=5", "`timeout`"),
            ("redis://:hunter2@h?protocol=resp2", "`protocol`"),
            (
                "redis+cluster://:hunter2@a,b?read_from=replica",
                "`read_from`",
            ),
            ("redis+sentinel://:hunter2@a/x?db=1", "`db`"),
            ("unix:///s?pass=hunter2&username=u", "`username`"),
            ("rediss://:hunter2@h/#insecure", "'#'"),
        ] {
            let refused = Endpoint::parse(url).expect_err(url);
            assert!(refused.to_string().contains(named), "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("hunter2"));
        }
        for url in ["redis://h?protocol=resp3", "unix:///s?db=1&user=u&pass=p"] {
            Endpoint::parse(url).expect(url);
        }
    }

    #[test]
    fn a_server_that_moved_is_spoken_to_as_before() {
        let one = |url: &str| Endpoint::parse(url).expect(url).seeds.remove(0);
        let elsewhere = moved(&one("redis://u:p@a:1"), "b", 2);
        assert_eq!(elsewhere.addr().to_string(), "b:2");
        assert_eq!(elsewhere.redis_settings().password(), Some("p"));
        if TLS {
            let secure = moved(&one("rediss://a:1"), "b", 2);
            assert!(
                matches!(secure.addr(), ConnectionAddr::TcpTls { host, port: 2, insecure: false, .. } if host == "b")
            );
        }
    }

    #[test]
    fn a_url_of_another_server_is_refused_without_being_quoted() {
        for url in [
            "",
            "hunter2",
            "http://hunter2@x",
            "redis://:hunter2@host:port",
            "redis:///x",
            "redis://:top@hunter2@host",
            "redis+cluster://:top@hunter2@a,b",
            "redis+cluster://:hunter2@host:port",
            "redis+sentinel://:hunter2@host",
        ] {
            let error = Endpoint::parse(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        for url in ["redis://h", "valkey://h:1", "unix:///run/redis.sock"] {
            Endpoint::parse(url).expect(url);
        }
        let secure = Endpoint::parse("rediss://h");
        assert_eq!(secure.err(), (!TLS).then_some(NO_TLS));
    }
}
