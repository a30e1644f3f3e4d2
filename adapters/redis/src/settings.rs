//! The bus, as it is configured.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use midplane_core::bus::{Bus, BusError, Limits, Link};

use crate::error::SettingsError;
use crate::pushes::Pushes;
#[cfg(feature = "completions")]
use crate::server::Server;
use crate::site::Site;
use crate::{layout, link, tls};

/// A [`Bus`] over a Redis or a Valkey. The [crate](crate) says what it does.
#[derive(Clone)]
pub struct Redis {
    pub(crate) site: Site,
    /// How many links were tried, so that each starts at another door.
    tried: Arc<AtomicUsize>,
    password: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    pub(crate) prefix: String,
    frame: usize,
    queue: usize,
}

impl Redis {
    /// The bus on the server at this URL, such as `redis://user:password@host:6379` or
    /// `unix:///run/redis.sock`; on the cluster of these nodes, `redis+cluster://user:password@host:6379,host:6379`;
    /// or on the master that these Sentinels know by a name, `redis+sentinel://user:password@host:26379,host/name`.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is not one of Redis or Valkey, or asks for a TLS that is not compiled in.
    pub fn new(url: &str) -> Result<Self, SettingsError> {
        Ok(Self {
            site: Site::parse(url)?,
            tried: Arc::default(),
            password: None,
            prefix: "midplane".to_owned(),
            frame: 512 << 10,
            queue: 16 << 20,
        })
    }

    /// The same bus with this before its channels' names, and a colon; `midplane` unless it is set.
    ///
    /// # Errors
    /// When it is empty, longer than 128 bytes, or has a space or a control character in it.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Result<Self, SettingsError> {
        let prefix = prefix.into();
        let fits = (1..=128).contains(&prefix.len());
        if !fits || prefix.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(SettingsError::Prefix(prefix));
        }
        self.prefix = prefix;
        Ok(self)
    }

    /// The same bus, asking this for the password at each connect in place of the URL's: for passwords that
    /// are rotated. It is called in the connecting task and must not block.
    #[must_use]
    pub fn with_password(mut self, password: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.password = Some(Arc::new(password));
        self
    }

    /// The same bus with frames of at most this many bytes; 512 KiB unless it is set. Every node must
    /// set the same.
    #[must_use]
    pub fn with_frame_limit(mut self, bytes: usize) -> Self {
        self.frame = bytes;
        self
    }

    /// The same bus with at most this many bytes waiting in a link; 16 MiB unless it is set. A frame
    /// counts as its length and some 40 bytes more.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// The server that this key is on, found anew.
    #[cfg(feature = "completions")]
    pub(crate) async fn owner(&self, key: &str) -> Result<Server, BusError> {
        tls::prepare();
        layout::owner(&self.now(), self.door(), key).await
    }

    /// Which door to try first.
    fn door(&self) -> usize {
        self.tried.fetch_add(1, Ordering::Relaxed)
    }

    /// Where to connect now, and as whom.
    fn now(&self) -> Site {
        let mut site = self.site.clone();
        if let Some(password) = &self.password {
            let password = password();
            for door in &mut site.doors {
                let settings = door.redis_settings().clone().set_password(&password);
                *door = door.clone().set_redis_settings(settings);
            }
        }
        site
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("topology", &self.site.topology)
            .field("addresses", &self.site.addresses())
            .field("prefix", &self.prefix)
            .field("frame", &self.frame)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Bus for Redis {
    fn limits(&self) -> Limits {
        Limits::new(self.frame)
    }

    async fn connect(&self) -> Result<Link, BusError> {
        tls::prepare();
        let pushes = Arc::new(Pushes::new(&self.prefix, self.queue));
        let found = layout::find(&self.now(), self.door(), &pushes).await?;
        Ok(link::open(found, pushes, self.frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed_and_its_password_is_kept() {
        let bus = Redis::new("redis://ada:hunter2@localhost:7000/3").expect("a url");
        let shown = format!("{bus:?}");
        assert!(shown.contains("localhost:7000"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let site = bus.with_password(|| "rotated".to_owned()).now();
        let settings = site.doors[0].redis_settings();
        assert_eq!(settings.username(), Some("ada"));
        assert_eq!(settings.password(), Some("rotated"));
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused_without_being_quoted() {
        for url in [
            "",
            "hunter2",
            "http://hunter2@x",
            "redis://:hunter2@host:port",
            "redis:///x",
            "redis+cluster://:hunter2@host:port",
            "redis+sentinel://:hunter2@host",
        ] {
            let error = Redis::new(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        for url in ["redis://h", "valkey://h:1", "unix:///run/redis.sock"] {
            Redis::new(url).expect(url);
        }
        assert_eq!(
            Redis::new("rediss://h").err(),
            (!tls::COMPILED).then_some(SettingsError::NoTls)
        );
    }

    #[test]
    fn a_prefix_is_a_word() {
        let bus = Redis::new("redis://h").expect("a url");
        for prefix in ["", "a b", "a\n", &"x".repeat(129)] {
            let refused = bus.clone().with_prefix(prefix);
            assert_eq!(
                refused.err(),
                Some(SettingsError::Prefix(prefix.to_owned()))
            );
        }
        bus.with_prefix("chat:eu{1}").expect("a prefix");
    }
}
