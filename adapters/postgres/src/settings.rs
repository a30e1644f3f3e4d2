//! The bus, as it is configured.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use midplane_core::bus::{Bus, BusError, Limits, Link};

use crate::error::SettingsError;
use crate::options::Options;
use crate::{link, payload};

/// A bus over Postgres.
#[derive(Clone)]
pub struct Postgres {
    options: Arc<Options>,
}

impl Postgres {
    /// The bus of a server, `postgres://user:password@host:port/database`. It does not connect. The port is 5432 if
    /// none is given.
    ///
    /// # Errors
    /// When that is not what the text is, or it asks for a TLS that is not compiled in.
    pub fn new(url: &str) -> Result<Self, SettingsError> {
        Options::parse(url).map(|options| Self {
            options: Arc::new(options),
        })
    }

    /// What the lanes' channels start with, `midplane` if nothing is said: letters, digits, `_` and `-`. Nodes with
    /// different prefixes do not hear each other.
    ///
    /// # Errors
    /// When it has other characters or more than 52 bytes.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, SettingsError> {
        self.options_mut().set_prefix(prefix)?;
        Ok(self)
    }

    /// How many bytes may arrive, while the link sends or subscribes, and not be read, some 40 being added for each
    /// frame: 16 MiB if nothing is said. A link that exceeds it is over.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.options_mut().queue = bytes;
        self
    }

    /// Asks this for the password at each connect, instead of the URL: for passwords that are rotated. It is called
    /// in the connecting task and must not block.
    #[must_use]
    pub fn with_password(mut self, password: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.options_mut().password = Some(Arc::new(password));
        self
    }

    fn options_mut(&mut self) -> &mut Options {
        Arc::make_mut(&mut self.options)
    }
}

impl fmt::Debug for Postgres {
    /// Nothing of the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

#[async_trait]
impl Bus for Postgres {
    fn limits(&self) -> Limits {
        Limits::new(payload::MAX_FRAME_BYTES)
    }

    async fn connect(&self) -> Result<Link, BusError> {
        link::open(&self.options).await
    }
}
