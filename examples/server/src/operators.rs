//! Who is an operator: may see the details of a server, and act on the connections of others.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, FORWARDED, HeaderName, VIA};

use crate::config::Config;
use crate::guard;

/// The flags that say who clients and who operators are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AccessFlags {
    /// A file with a token of 16 to 1024 printable characters, which makes an operator of who sends it as `Authorization:
    /// Bearer`, under any `Host`. Read once, at the start.
    ///
    /// Operators have `GET /nodes`, `GET /count`, `POST /disconnect`, `GET /metrics` and the details of the paths of health.
    /// Without the file operators are who asks from this machine, directly; with `--public-host` or `--behind-proxy` a
    /// proxy asks for anybody, so then there are none without it.
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_token_file: Option<PathBuf>,

    /// Listens on any address: who connects there is a proxy that authenticates clients and writes their `user` and `org`
    /// into the query itself. Nobody else may reach it.
    #[arg(long)]
    pub(crate) behind_proxy: bool,
}

/// The rule by which a request is an operator's.
#[derive(Debug)]
pub(crate) enum Operators {
    /// The request has the token.
    Token(Token),
    /// The request comes from this machine: all do, for the server listens on a loopback address.
    Direct,
    /// None is: behind a proxy everybody asks from this machine.
    Nobody,
}

/// What operators know and nobody else does.
pub(crate) struct Token(Box<[u8]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// What proxies add to the requests of others.
const FORWARDING: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

impl Operators {
    /// The rule that the flags set.
    ///
    /// # Errors
    /// When there is a token file that has no token. The error names the file, and nothing that is in it.
    pub(crate) fn of(config: &Config) -> Result<Self, TokenError> {
        match &config.operators.operator_token_file {
            Some(path) => Token::read(path).map(Self::Token),
            None if config.operators.behind_proxy => Ok(Self::Nobody),
            None if config.public_host.is_empty() => Ok(Self::Direct),
            None => Ok(Self::Nobody),
        }
    }

    /// Whether the request with these headers is an operator's.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Token(token) => {
                let mut given = headers.get_all(AUTHORIZATION).iter();
                let (Some(given), None) = (given.next(), given.next()) else {
                    return false;
                };
                let (scheme, given) = given.as_bytes().split_at_checked(7).unwrap_or_default();
                scheme.eq_ignore_ascii_case(b"bearer ") && token.is(given)
            }
            Self::Direct => {
                let direct = FORWARDING.iter().all(|name| !headers.contains_key(name));
                direct && guard::check(headers, &[]).is_ok()
            }
            Self::Nobody => false,
        }
    }
}

impl Token {
    const LENGTH: std::ops::RangeInclusive<usize> = 16..=1_024;

    fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |reason| TokenError {
            path: path.into(),
            reason,
        };
        let bytes = fs::read(path).map_err(|error| failed(TokenFault::Unread(error)))?;
        let token = bytes.trim_ascii();
        let printable = token.iter().all(u8::is_ascii_graphic);
        if !printable || !Self::LENGTH.contains(&token.len()) {
            return Err(failed(TokenFault::NoToken));
        }
        Ok(Self(token.into()))
    }

    /// Compares all bytes, whichever differ: the time says nothing of where.
    fn is(&self, given: &[u8]) -> bool {
        let differ = |differ, (own, given): (&u8, &u8)| differ | (own ^ given);
        let differ = self.0.iter().zip(given).fold(0, differ);
        given.len() == self.0.len() && std::hint::black_box(differ) == 0
    }
}

/// Why there is no token in the file of `--operator-token-file`. The server does not start.
#[derive(Debug)]
pub(crate) struct TokenError {
    path: PathBuf,
    reason: TokenFault,
}

#[derive(Debug)]
enum TokenFault {
    Unread(io::Error),
    NoToken,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--operator-token-file {}: ", self.path.display())?;
        match &self.reason {
            TokenFault::Unread(error) => error.fmt(f),
            TokenFault::NoToken => {
                f.write_str("it has no token of 16 to 1024 printable characters")
            }
        }
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            TokenFault::Unread(error) => Some(error),
            TokenFault::NoToken => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_whole_token_makes_an_operator_and_nothing_less() {
        let rule = Operators::Token(Token(b"0123456789abcdef".as_slice().into()));
        let admitted = |value| rule.admit(&headers(&[("authorization", value)]));
        assert!(admitted("Bearer 0123456789abcdef"));
        assert!(admitted("bearer 0123456789abcdef"));
        for value in [
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer  0123456789abcdef",
            "Bearer ",
            "Bearer",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "",
        ] {
            assert!(!admitted(value), "{value}");
        }
        let twice = ("authorization", "Bearer 0123456789abcdef");
        assert!(!rule.admit(&headers(&[twice, twice])));
        assert!(!rule.admit(&headers(&[("host", "localhost")])));
        assert!(!format!("{rule:?}").contains("0123"));
    }

    #[test]
    fn who_asks_by_a_proxy_is_no_operator() {
        let host = ("host", "127.0.0.1:8080");
        assert!(Operators::Direct.admit(&headers(&[host])));
        assert!(!Operators::Nobody.admit(&headers(&[host])));
        for name in ["forwarded", "via", "x-forwarded-for", "x-real-ip"] {
            let forwarded = headers(&[host, (name, "10.0.0.1")]);
            assert!(!Operators::Direct.admit(&forwarded), "{name}");
        }
        let foreign = headers(&[("host", "live.example")]);
        assert!(!Operators::Direct.admit(&foreign));
    }
}
