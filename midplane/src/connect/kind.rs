//! The sorts of bus.

use std::fmt;

/// A sort of bus, as the environment names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusKind {
    /// Inside one process.
    Memory,
    /// A Redis.
    Redis,
    /// A Valkey, which is spoken to as a Redis is.
    Valkey,
    /// A NATS server, or a cluster of them.
    Nats,
    /// A Postgres.
    Postgres,
}

impl BusKind {
    const ALL: [Self; 5] = [
        Self::Memory,
        Self::Redis,
        Self::Valkey,
        Self::Nats,
        Self::Postgres,
    ];

    /// The kind of this name, in any case and with space around it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.trim();
        Self::ALL
            .into_iter()
            .find(|kind| name.eq_ignore_ascii_case(kind.name()))
    }

    /// The kind whose URLs have this scheme, in lower case.
    pub(crate) fn of_scheme(scheme: &str) -> Option<Self> {
        // A cluster's, or that of Sentinels.
        let scheme = ["+cluster", "+sentinel"]
            .into_iter()
            .find_map(|suffix| {
                let base = scheme.strip_suffix(suffix)?;
                matches!(base, "redis" | "rediss" | "valkey" | "valkeys").then_some(base)
            })
            .unwrap_or(scheme);
        match scheme {
            "memory" => Some(Self::Memory),
            "redis" | "rediss" | "redis+unix" | "unix" => Some(Self::Redis),
            "valkey" | "valkeys" | "valkey+unix" => Some(Self::Valkey),
            "nats" | "tls" => Some(Self::Nats),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// Whether this kind takes a URL of the other: Redis and Valkey take each other's.
    pub(crate) fn takes(self, url: Self) -> bool {
        self == url || (self.is_redis() && url.is_redis())
    }

    /// What its URLs look like.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Memory => "memory:",
            Self::Redis => "redis://user:password@host:6379",
            Self::Valkey => "valkey://user:password@host:6379",
            Self::Nats => "nats://user:password@host:4222",
            Self::Postgres => "postgres://user:password@host:5432/database",
        }
    }

    fn is_redis(self) -> bool {
        matches!(self, Self::Redis | Self::Valkey)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Nats => "nats",
            Self::Postgres => "postgres",
        }
    }
}

impl fmt::Display for BusKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
