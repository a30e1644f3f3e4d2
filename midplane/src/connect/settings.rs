//! Where the bus is, as the environment or the program says.

use std::env::{self, VarError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use midplane_core::Timer;
use midplane_core::bus::{Bus, BusError, Lane, SettingsError};

use super::{BusKind, ConnectError, memory, nats, postgres, redis};

const BACKPLANE: &str = "MIDPLANE_BACKPLANE";
const URL: &str = "MIDPLANE_BACKPLANE_URL";
const PREFIX: &str = "MIDPLANE_BACKPLANE_PREFIX";

/// How long [`Settings::open`] waits.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where the bus is, read and found sound. Nothing is connected yet.
#[derive(Clone)]
pub struct Settings {
    kind: BusKind,
    /// The URL, which may hold a password. The scheme is in lower case.
    url: String,
    prefix: Option<String>,
    deadline: Duration,
    /// The name of the setting that the URL is of.
    setting: &'static str,
}

impl Settings {
    /// The backplane that the environment names, or `None` if it names none: `MIDPLANE_BACKPLANE`,
    /// `MIDPLANE_BACKPLANE_URL` and `MIDPLANE_BACKPLANE_PREFIX`, as the [module](super) says.
    ///
    /// # Errors
    /// When one is set and is empty, unknown, unusable or without the other that it needs, or when what it asks for is
    /// not compiled in.
    pub fn from_env() -> Result<Option<Self>, ConnectError> {
        let [backplane, url, prefix] = [variable(BACKPLANE)?, variable(URL)?, variable(PREFIX)?];
        Self::named(backplane.as_deref(), url.as_deref(), prefix.as_deref())
    }

    /// What [`from_env`](Self::from_env) makes of these values, for programs that have flags for them too. Errors
    /// call them by the names of the variables.
    ///
    /// # Errors
    /// As those of [`from_env`](Self::from_env).
    pub fn named(
        backplane: Option<&str>,
        url: Option<&str>,
        prefix: Option<&str>,
    ) -> Result<Option<Self>, ConnectError> {
        let unknown = ConnectError::Unknown { setting: BACKPLANE };
        let backplane = backplane
            .map(|name| {
                filled(name, BACKPLANE).and_then(|name| BusKind::named(name).ok_or(unknown))
            })
            .transpose()?;
        let settings = match (backplane, url) {
            (None, None) if prefix.is_none() => return Ok(None),
            (None, None) => return Err(ConnectError::MissingBackplane { setting: PREFIX }),
            (Some(BusKind::Memory), None) => Self::read("memory:", URL)?,
            (Some(backplane), None) => return Err(ConnectError::MissingUrl { backplane }),
            (_, Some(url)) => Self::read(url, URL)?,
        };
        if let Some(backplane) = backplane
            && !backplane.takes(settings.kind)
        {
            let url = settings.kind;
            return Err(ConnectError::Mismatch { backplane, url });
        }
        settings.build()?;
        match prefix {
            Some(prefix) => settings.with_prefix(prefix),
            None => Ok(settings),
        }
        .map(Some)
    }

    /// The backplane at this URL, which the [module](super) describes.
    ///
    /// # Errors
    /// When it is no URL of a bus, or what it asks for is not compiled in.
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let settings = Self::read(url, "the url")?;
        settings.build()?;
        Ok(settings)
    }

    /// Sets what the names of the bus's channels begin with, `midplane` unless it is set: nodes with different prefixes
    /// do not reach each other.
    ///
    /// # Errors
    /// When the adapter does not take it. All take 1 to 52 ASCII letters, digits, `_` and `-`.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, ConnectError> {
        self.prefix = Some(filled(prefix, PREFIX)?.to_owned());
        self.build()?;
        Ok(self)
    }

    /// Sets for how long [`open`](Self::open) waits for the server; 5 s unless it is set.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The sort of bus.
    #[must_use]
    pub fn kind(&self) -> BusKind {
        self.kind
    }

    /// The bus, of which no link is open yet.
    ///
    /// # Errors
    /// When an adapter does not take the settings. All were asked when the settings were made.
    pub fn bus(&self) -> Result<Arc<dyn Bus>, ConnectError> {
        self.build()
    }

    /// What errors call the URL.
    pub(crate) fn setting(&self) -> &'static str {
        self.setting
    }

    /// Opens the bus and proves that its server is there: one link is opened, subscribes to the lane that every node
    /// subscribes to, and is dropped again. There is one attempt.
    ///
    /// # Errors
    /// When the server is not there, refuses the link or does not answer before the deadline. Nothing is left open.
    pub async fn open(&self, timer: &dyn Timer) -> Result<Arc<dyn Bus>, ConnectError> {
        let bus = self.build()?;
        let setting = self.setting;
        let answer = timer.within(self.deadline, attempt(&*bus)).await;
        let late = ConnectError::Late {
            setting,
            backplane: self.kind,
            deadline: self.deadline,
        };
        let answer = answer.ok_or(late)?;
        answer.map_err(|source| ConnectError::Refused { setting, source })?;
        Ok(bus)
    }

    /// Finds the kind, and leaves the rest to the adapter.
    fn read(url: &str, setting: &'static str) -> Result<Self, ConnectError> {
        let unknown = || ConnectError::Unknown { setting };
        let (scheme, rest) = filled(url, setting)?.split_once(':').ok_or_else(unknown)?;
        let scheme = scheme.to_ascii_lowercase();
        let kind = BusKind::of_scheme(&scheme).ok_or_else(unknown)?;
        // Else `nats:4222` would be a host called nats.
        if kind != BusKind::Memory && !rest.starts_with("//") {
            return Err(unknown());
        }
        Ok(Self {
            kind,
            url: format!("{scheme}:{rest}"),
            prefix: None,
            deadline: DEADLINE,
            setting,
        })
    }

    fn build(&self) -> Result<Arc<dyn Bus>, ConnectError> {
        let (url, prefix) = (self.url.as_str(), self.prefix.as_deref());
        let setting = self.setting;
        match self.kind {
            BusKind::Memory => memory::bus(url, prefix),
            BusKind::Redis | BusKind::Valkey => redis::bus(url, prefix, "redis"),
            BusKind::Nats => nats::bus(url, prefix, "nats"),
            BusKind::Postgres => postgres::bus(url, prefix, "postgres"),
        }
        .map_err(|error| match error {
            SettingsError::MissingFeature { feature, .. } => {
                ConnectError::NotCompiledIn { setting, feature }
            }
            source @ SettingsError::Prefix(_) => ConnectError::Invalid {
                setting: PREFIX,
                source,
            },
            source => ConnectError::Invalid { setting, source },
        })
    }
}

impl fmt::Debug for Settings {
    /// Nothing of the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("kind", &self.kind)
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

async fn attempt(bus: &dyn Bus) -> Result<(), BusError> {
    let mut link = bus.connect().await?;
    link.transmit.subscribe(&[Lane(0)]).await
}

/// The value of the variable, if it is set.
pub(super) fn variable(setting: &'static str) -> Result<Option<String>, ConnectError> {
    match env::var(setting) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(ConnectError::Empty { setting }),
    }
}

/// The value without the space around it.
pub(super) fn filled<'a>(value: &'a str, setting: &'static str) -> Result<&'a str, ConnectError> {
    match value.trim() {
        "" => Err(ConnectError::Empty { setting }),
        value => Ok(value),
    }
}
