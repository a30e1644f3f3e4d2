//! The bus, as it is configured.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use midplane_core::bus::{Limits, Prefix, SettingsError};
use parking_lot::Mutex;

use crate::url::Endpoint;

/// What a prefix may have in it beside letters, digits, `_` and `-`; what is between braces is a cluster's hash tag.
pub(crate) const ALSO: &str = ".:{}";

/// A [`Bus`](midplane_core::bus::Bus) over a Redis or a Valkey. The [crate](crate) says what it does.
#[derive(Clone)]
pub struct Redis {
    pub(crate) endpoint: Endpoint,
    /// How many links were tried, so that each starts at another seed address.
    tried: Arc<AtomicUsize>,
    /// What is asked for the password at each connect, in place of the URL's.
    password: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    pub(crate) prefix: Prefix,
    pub(crate) limits: Limits,
    pub(crate) queue: usize,
    /// Which server the link that was opened last is with.
    pub(crate) broker: Arc<Mutex<Option<String>>>,
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
            endpoint: Endpoint::parse(url)?,
            tried: Arc::default(),
            password: None,
            prefix: Prefix::default(),
            limits: Limits::new(512 << 10),
            queue: 16 << 20,
            broker: Arc::default(),
        })
    }

    /// Sets what the channels' names begin with, before a colon and the lane; `midplane` unless it is set.
    ///
    /// # Errors
    /// When it is none of 1 to 52 ASCII letters, digits, `_`, `-`, `.`, `:`, `{` and `}`, or has a dot with nothing
    /// before or after it.
    pub fn with_prefix(mut self, prefix: impl AsRef<str>) -> Result<Self, SettingsError> {
        self.prefix = Prefix::new(prefix.as_ref(), ALSO)?;
        Ok(self)
    }

    /// Asks this for the password at each connect, in place of the URL's: for passwords that are rotated. It is
    /// called in the connecting task and must not block.
    #[must_use]
    pub fn with_password(mut self, password: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.password = Some(Arc::new(password));
        self
    }

    /// Limits frames to this many bytes; 512 KiB unless it is set. Every node must set the same.
    #[must_use]
    pub fn with_frame_limit(mut self, bytes: usize) -> Self {
        self.limits = Limits::new(bytes);
        self
    }

    /// Limits what waits in a link to this many bytes; 16 MiB unless it is set. A frame counts as its length and some
    /// 40 bytes more.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Where to connect now and as whom, with another seed address first each time.
    pub(crate) fn attempt(&self) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        if let Some(password) = &self.password {
            let password = password();
            for seed in &mut endpoint.seeds {
                let settings = seed.redis_settings().clone().set_password(&password);
                *seed = seed.clone().set_redis_settings(settings);
            }
        }
        let attempt = self.tried.fetch_add(1, Ordering::Relaxed);
        let first = attempt % endpoint.seeds.len();
        endpoint.seeds.rotate_left(first);
        endpoint
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("deployment", &self.endpoint.deployment)
            .field("addresses", &self.endpoint.addresses())
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
    fn the_password_of_the_url_is_kept_hidden_and_can_be_replaced() {
        let bus = Redis::new("redis://ada:hunter2@localhost:7000/3").expect("a url");
        let shown = format!("{bus:?}");
        assert!(shown.contains("localhost:7000"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let endpoint = bus.with_password(|| "rotated".to_owned()).attempt();
        let settings = endpoint.seeds[0].redis_settings();
        assert_eq!(settings.username(), Some("ada"));
        assert_eq!(settings.password(), Some("rotated"));
    }

    #[test]
    fn a_prefix_may_have_braces_colons_and_dots() {
        let bus = Redis::new("redis://h").expect("a url");
        for prefix in ["", "a b", "a\n", &"x".repeat(53)] {
            let refused = bus.clone().with_prefix(prefix);
            assert!(matches!(refused, Err(SettingsError::Prefix(_))), "{prefix}");
        }
        bus.with_prefix("chat:eu{1}").expect("a prefix");
    }
}
