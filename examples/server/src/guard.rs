//! Which requests may come in: none that a foreign web page makes a browser send.
//!
//! A server on a loopback address is within reach of every page that a browser on the machine
//! shows. Two headers that pages cannot forge keep those out: `Origin` says whose page asks, and
//! `Host` says which name the browser looked up, so a foreign name that resolves to 127.0.0.1 (DNS
//! rebinding) is told from our own, and from those under which a proxy serves us.

use std::fmt;
use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// Why a request is refused. Nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// `Host` is missing, doubled, or neither a loopback name or address nor a public host.
    Host,
    /// `Origin` is there and is not that of our own page.
    Origin,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the Host header must name a loopback address, or a --public-host",
            Self::Origin => "the Origin header must be absent or match the Host header",
        })
    }
}

impl std::error::Error for Forbidden {}

/// Lets programs and our own page through, under a loopback name or one of these.
pub(crate) fn check(headers: &HeaderMap, public: &[String]) -> Result<(), Forbidden> {
    let host = only(headers, HOST).flatten().ok_or(Forbidden::Host)?;
    let (name, port) = split(host).ok_or(Forbidden::Host)?;
    let is_public = |name: &str| public.iter().any(|own| own.eq_ignore_ascii_case(name));
    if !is_loopback(name) && !is_public(name) {
        return Err(Forbidden::Host);
    }
    let Some(origin) = only(headers, ORIGIN).ok_or(Forbidden::Origin)? else {
        return Ok(());
    };
    let (default, authority) = match origin.split_once("://") {
        Some(("http", authority)) => ("80", authority),
        Some(("https", authority)) => ("443", authority),
        _ => return Err(Forbidden::Origin),
    };
    let (page, page_port) = split(authority).ok_or(Forbidden::Origin)?;
    let same =
        page.eq_ignore_ascii_case(name) && page_port.unwrap_or(default) == port.unwrap_or(default);
    if same { Ok(()) } else { Err(Forbidden::Origin) }
}

/// The header's value: `Some(None)` where it is absent, `None` where it stands twice or is not
/// text.
fn only(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        (Some(_), Some(_)) => None,
    }
}

/// A host and its port, of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let ends = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (name, port) = authority.split_at(ends);
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((name, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((name, Some(digits)))
        }
        _ => None,
    }
}

fn is_loopback(name: &str) -> bool {
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pairs: &[(&'static str, &str)]) -> Result<(), Forbidden> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        check(&headers, &["live.example".to_owned()])
    }

    #[test]
    fn the_page_behind_a_proxy_comes_in() {
        let host = ("host", "LIVE.example");
        assert_eq!(checked(&[host]), Ok(()));
        let own = ("origin", "https://live.example");
        assert_eq!(checked(&[("host", "live.example:443"), own]), Ok(()));
        let foreign = ("origin", "https://evil.example");
        assert_eq!(checked(&[host, foreign]), Err(Forbidden::Origin));
        let below = ("host", "live.example.evil.example");
        assert_eq!(checked(&[below]), Err(Forbidden::Host));
    }

    #[test]
    fn programs_on_this_machine_come_in() {
        for host in [
            "127.0.0.1:8080",
            "127.9.9.9",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8080",
            "[::1]",
        ] {
            assert_eq!(checked(&[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn our_own_page_comes_in() {
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://LOCALHOST:8080"),
            ("localhost", "http://localhost"),
            ("localhost:80", "http://localhost"),
            ("localhost", "https://localhost:443"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(
                checked(&[("host", host), ("origin", origin)]),
                Ok(()),
                "{origin}"
            );
        }
    }

    #[test]
    fn foreign_pages_stay_out() {
        for origin in [
            "http://evil.example",
            "http://localhost:8081",
            "http://localhost",
            "http://127.0.0.1:8080",
            "http://localhost:8080.evil.example",
            "http://localhost:8080@evil.example",
            "ftp://localhost:8080",
            "localhost:8080",
            "null",
            "",
        ] {
            let outcome = checked(&[("host", "localhost:8080"), ("origin", origin)]);
            assert_eq!(outcome, Err(Forbidden::Origin), "{origin}");
        }
        let twice = [
            ("host", "localhost"),
            ("origin", "http://localhost"),
            ("origin", "http://localhost"),
        ];
        assert_eq!(checked(&twice), Err(Forbidden::Origin));
    }

    #[test]
    fn rebound_names_stay_out() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
            "[::1",
            "",
        ] {
            assert_eq!(checked(&[("host", host)]), Err(Forbidden::Host), "{host}");
        }
        assert_eq!(checked(&[]), Err(Forbidden::Host));
        assert_eq!(
            checked(&[("host", "localhost"), ("host", "localhost")]),
            Err(Forbidden::Host)
        );
    }
}
