//! The bus, as it is configured.

use std::fmt;
use std::sync::Arc;

use midplane_core::bus::{Prefix, SettingsError};
use parking_lot::Mutex;

use crate::url::Endpoint;

/// A [`Bus`](midplane_core::bus::Bus) over Postgres. The [crate](crate) says what it does.
#[derive(Clone)]
pub struct Postgres {
    pub(crate) endpoint: Endpoint,
    pub(crate) prefix: Prefix,
    pub(crate) queue: usize,
    /// Which server the link that was opened last is with.
    pub(crate) broker: Arc<Mutex<Option<String>>>,
}

impl Postgres {
    /// The bus of a server, `postgres://user:password@host:port/database`. The port is 5432 if none is given. Nothing
    /// is connected yet.
    ///
    /// # Errors
    /// When the URL is not one of Postgres, or asks for a TLS that is not compiled in.
    pub fn new(url: &str) -> Result<Self, SettingsError> {
        Ok(Self {
            endpoint: Endpoint::parse(url)?,
            prefix: Prefix::default(),
            queue: 16 << 20,
            broker: Arc::default(),
        })
    }

    /// Sets what the lanes' channels begin with, before an underscore and the lane; `midplane` unless it is set.
    ///
    /// # Errors
    /// When it is none of 1 to 52 ASCII letters, digits, `_` and `-`.
    pub fn with_prefix(mut self, prefix: impl AsRef<str>) -> Result<Self, SettingsError> {
        self.prefix = Prefix::new(prefix.as_ref(), "")?;
        Ok(self)
    }

    /// Asks this for the password at each connect, in place of the URL's: for passwords that are rotated. It is
    /// called in the connecting task and must not block.
    #[must_use]
    pub fn with_password(mut self, password: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.endpoint.password = Some(Arc::new(password));
        self
    }

    /// Limits what waits in a link to this many bytes; 16 MiB unless it is set. A frame counts as its length and some 40
    /// bytes more. A link that would hold more is over.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("endpoint", &self.endpoint)
            .field("prefix", &self.prefix.as_str())
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let bus = Postgres::new("postgres://ada:s3cret@a/shop").unwrap();
        assert!(!format!("{bus:?}").contains("s3cret"));
    }

    #[test]
    fn a_prefix_is_a_part_of_a_name_without_quotes() {
        let bus = Postgres::new("host=a").unwrap();
        for prefix in ["", "a\"b", "a.b", "a b", "ä", &"x".repeat(53)] {
            let refused = bus.clone().with_prefix(prefix);
            assert!(matches!(refused, Err(SettingsError::Prefix(_))), "{prefix}");
        }
        bus.with_prefix("By-Hand_1").unwrap();
    }
}
