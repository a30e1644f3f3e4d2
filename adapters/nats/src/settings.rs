//! The bus, as it is configured.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use midplane_core::bus::{Bus, BusError, Limits, Link};

use crate::error::SettingsError;
use crate::link;
use crate::options::{Login, Options};

/// A bus over NATS.
#[derive(Clone)]
pub struct Nats {
    options: Arc<Options>,
}

impl Nats {
    /// The bus of a server, `nats://host:port` or `tls://host:port`, or of a cluster's servers with commas
    /// between. It does not connect. The port is 4222 if none is given.
    ///
    /// # Errors
    /// When that is not what the text is.
    pub fn new(urls: &str) -> Result<Self, SettingsError> {
        Options::parse(urls).map(|options| Self {
            options: Arc::new(options),
        })
    }

    /// What the lanes' subjects start with, `midplane` if nothing is said: letters, digits, `_` and `-`, and dots
    /// between. Nodes with different prefixes do not hear each other.
    ///
    /// # Errors
    /// When it has other characters or more than 128 bytes.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, SettingsError> {
        self.options_mut().set_prefix(prefix)?;
        Ok(self)
    }

    /// The largest frame, in bytes: 1 MiB if nothing is said. It must be the same on every node, and no more than
    /// the `max_payload` of every server.
    #[must_use]
    pub fn with_frame_limit(mut self, bytes: usize) -> Self {
        self.options_mut().frame_limit = bytes;
        self
    }

    /// How many bytes may have arrived and not been read, some 40 being added for each frame: 16 MiB if nothing
    /// is said. A link that exceeds it is over, so it must hold a few of the largest frames.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.options_mut().queue = bytes;
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
        self.options_mut().root_certificates = Some(path.into());
        self
    }

    /// Shows the server a certificate; both paths are PEM files.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.options_mut().client_certificate = Some((certificate.into(), key.into()));
        self
    }

    fn login(mut self, login: Login) -> Self {
        self.options_mut().login = login;
        self
    }

    fn options_mut(&mut self) -> &mut Options {
        Arc::make_mut(&mut self.options)
    }
}

impl fmt::Debug for Nats {
    /// Nothing of the credentials but of which sort they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

#[async_trait]
impl Bus for Nats {
    fn limits(&self) -> Limits {
        Limits::new(self.options.frame_limit)
    }

    async fn connect(&self) -> Result<Link, BusError> {
        link::open(&self.options).await
    }
}
