//! The bus, as it is configured.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use midplane_core::bus::{Bus, BusError, Limits, Session};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::error::{SettingsError, Voice};
use crate::pushes::Pushes;
use crate::{session, tls};

/// A [`Bus`] over a Redis or a Valkey. The [crate](crate) says what it does.
#[derive(Clone)]
pub struct Redis {
    pub(crate) info: ConnectionInfo,
    password: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    prefix: String,
    frame: usize,
    queue: usize,
}

impl Redis {
    /// The bus on the server at this URL, such as `redis://user:password@host:6379` or
    /// `unix:///run/redis.sock`. Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL is not one of Redis or Valkey, or asks for a TLS that is not compiled in.
    pub fn new(url: &str) -> Result<Self, SettingsError> {
        // The driver's own error may quote the URL.
        let url = redis::parse_redis_url(url).ok_or(SettingsError::Url)?;
        if !tls::COMPILED && matches!(url.scheme(), "rediss" | "valkeys") {
            return Err(SettingsError::NoTls);
        }
        let info = url.into_connection_info().map_err(|_| SettingsError::Url)?;
        let settings = info.redis_settings().clone();
        let info = info
            .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3))
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(Self {
            info,
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

    /// The same bus with at most this many bytes waiting in a session; 16 MiB unless it is set. A frame
    /// counts as its length and some 40 bytes more.
    #[must_use]
    pub fn with_queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// What to connect with now, and how to speak of it.
    fn now(&self) -> (ConnectionInfo, Voice) {
        let mut info = self.info.clone();
        if let Some(password) = &self.password {
            let settings = info.redis_settings().clone().set_password(password());
            info = info.set_redis_settings(settings);
        }
        let voice = Voice {
            address: info.addr().to_string(),
            password: info.redis_settings().password().map(str::to_owned),
        };
        (info, voice)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.info.addr().to_string())
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

    async fn connect(&self) -> Result<Session, BusError> {
        tls::prepare();
        let (info, voice) = self.now();
        let client = Client::open(info).map_err(|error| voice.error("connect", error))?;
        let pushes = Pushes::new(&self.prefix, &voice.address, self.queue);
        session::open(&client, voice, pushes, self.frame).await
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
        let (info, voice) = bus.with_password(|| "rotated".to_owned()).now();
        assert_eq!(info.redis_settings().username(), Some("ada"));
        assert_eq!(info.redis_settings().password(), Some("rotated"));
        assert_eq!(voice.address, "localhost:7000");
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused_without_being_quoted() {
        for url in [
            "",
            "hunter2",
            "http://hunter2@x",
            "redis://:hunter2@host:port",
            "redis:///x",
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
