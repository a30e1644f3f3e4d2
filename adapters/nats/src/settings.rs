//! The bus, as it is configured.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use midplane_core::bus::{Limits, Prefix, SettingsError};
use parking_lot::Mutex;

use crate::url::{Endpoint, Login};

/// What a prefix may have in it beside letters, digits, `_` and `-`: subjects have tokens with dots between.
const ALSO: &str = ".";

/// What stands between a prefix and a lane.
pub(crate) const SEPARATOR: char = '.';

/// A [`Bus`](midplane_core::bus::Bus) over NATS. The [crate](crate) says what it does.
#[derive(Clone)]
pub struct Nats {
    pub(crate) endpoint: Endpoint,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) prefix: Prefix,
    /// What the program allows. A server may take less.
    pub(crate) limits: Limits,
    pub(crate) queue: usize,
    pub(crate) found: Arc<Found>,
}

/// What the links found out of the server.
pub(crate) struct Found {
    /// The largest message that the server of the latest link takes, in bytes.
    pub(crate) payload: AtomicUsize,
    /// How many subscriptions a connection is known to be allowed.
    pub(crate) subscriptions: AtomicUsize,
    /// Which server the link that was opened last is with.
    pub(crate) broker: Mutex<Option<String>>,
}

/// How many subscriptions a connection is taken to be allowed before anybody asked.
const SUBSCRIPTIONS: usize = 8;

impl Default for Found {
    fn default() -> Self {
        Self {
            payload: AtomicUsize::new(usize::MAX),
            subscriptions: AtomicUsize::new(SUBSCRIPTIONS),
            broker: Mutex::default(),
        }
    }
}

impl Nats {
    /// The bus of a server, `nats://host:port` or `tls://host:port`, or of a cluster's servers with commas
    /// between. The port is 4222 if none is given. Nothing is connected yet.
    ///
    /// # Errors
    /// When the URLs are not those of NATS, or log in differently.
    pub fn new(urls: &str) -> Result<Self, SettingsError> {
        Ok(Self {
            endpoint: Endpoint::parse(urls)?,
            root_certificates: None,
            client_certificate: None,
            prefix: Prefix::default(),
            limits: Limits::new(1 << 20),
            queue: 16 << 20,
            found: Arc::default(),
        })
    }

    /// Sets what the lanes' subjects begin with, before a dot and the lane; `midplane` unless it is set.
    ///
    /// # Errors
    /// When it is none of 1 to 52 ASCII letters, digits, `_`, `-` and dots, or has a dot with nothing before or after
    /// it.
    pub fn with_prefix(mut self, prefix: impl AsRef<str>) -> Result<Self, SettingsError> {
        self.prefix = Prefix::new(prefix.as_ref(), ALSO)?;
        Ok(self)
    }

    /// Limits frames to this many bytes; 1 MiB unless it is set. Every node must set the same. Where the `max_payload` of
    /// the server is smaller, that is the limit.
    #[must_use]
    pub fn with_frame_limit(mut self, bytes: usize) -> Self {
        self.limits = Limits::new(bytes);
        self
    }

    /// Limits what waits in a link to this many bytes; 16 MiB unless it is set. A frame counts as its length and some
    /// 40 bytes more. A link that would hold more is over, so this must be several of the largest frames.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Logs in with a token, instead of what the URL says.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        self.login(Login::Token(token.into()))
    }

    /// Logs in with a password, instead of what the URL says.
    #[must_use]
    pub fn with_user_and_password(
        self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.login(Login::Password {
            user: user.into(),
            password: password.into(),
        })
    }

    /// Logs in with the seed of an NKEY, instead of what the URL says.
    #[must_use]
    pub fn with_nkey_seed(self, seed: impl Into<String>) -> Self {
        self.login(Login::Seed(seed.into()))
    }

    /// Logs in with a `.creds` file, a JWT and a seed, instead of what the URL says.
    #[must_use]
    pub fn with_credentials_file(self, path: impl Into<PathBuf>) -> Self {
        self.login(Login::File(path.into()))
    }

    /// Trusts the certificates in a PEM file, and no others, instead of the platform's.
    #[must_use]
    pub fn with_root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(path.into());
        self
    }

    /// Shows the server a certificate; both paths are PEM files.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    fn login(mut self, login: Login) -> Self {
        self.endpoint.login = login;
        self
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("addresses", &self.endpoint.addresses())
            .field("login", &self.endpoint.login)
            .field("prefix", &self.prefix.as_str())
            .field("frame_limit", &self.limits.frame)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_shown() {
        for url in ["nats://ada:s3cret@a:4222", "s3cret@a"] {
            let shown = format!("{:?}", Nats::new(url).unwrap());
            assert!(
                !shown.contains("s3cret") && !shown.contains("ada"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_prefix_is_one_or_more_plain_tokens() {
        let bus = Nats::new("a").unwrap();
        for prefix in ["", ".a", "a.", "a..b", "a.*", "a b", "ä"] {
            let refused = bus.clone().with_prefix(prefix);
            assert!(matches!(refused, Err(SettingsError::Prefix(_))), "{prefix}");
        }
        bus.with_prefix("shop.eu-1_x").unwrap();
    }
}
