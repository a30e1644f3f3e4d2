//! What was set.

use std::env::{self, VarError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use midplane_core::Timer;
use midplane_core::bus::{Bus, BusError, Lane};

use crate::error::Refusal;
use crate::{ConnectError, Kind, memory, nats, postgres, redis};

const BACKPLANE: &str = "MIDPLANE_BACKPLANE";
const URL: &str = "MIDPLANE_BACKPLANE_URL";
const PREFIX: &str = "MIDPLANE_BACKPLANE_PREFIX";

/// How long [`Settings::open`] waits.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where the backplane is, read and found sound. Nothing is connected yet.
#[derive(Clone)]
pub struct Settings {
    kind: Kind,
    /// It may hold a password. The scheme is in lower case.
    url: String,
    prefix: Option<String>,
    deadline: Duration,
    /// The name of the setting that the URL is of.
    setting: &'static str,
}

impl Settings {
    /// The backplane that the environment names, or `None` if it names none: `MIDPLANE_BACKPLANE`,
    /// `MIDPLANE_BACKPLANE_URL` and `MIDPLANE_BACKPLANE_PREFIX`, as the [crate](crate) says.
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
            .map(|name| filled(name, BACKPLANE).and_then(|name| Kind::named(name).ok_or(unknown)))
            .transpose()?;
        let settings = match (backplane, url) {
            (None, None) if prefix.is_none() => return Ok(None),
            (None, None) => return Err(ConnectError::MissingBackplane),
            (Some(Kind::Memory), None) => Self::read("memory:", URL)?,
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

    /// The backplane at this URL, which the [crate](crate) describes.
    ///
    /// # Errors
    /// When it is no URL of a bus, or what it asks for is not compiled in.
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let settings = Self::read(url, "the url of the backplane")?;
        settings.build()?;
        Ok(settings)
    }

    /// The same backplane with this before its channels' names, `midplane` unless it is set: nodes with different
    /// prefixes do not hear each other.
    ///
    /// # Errors
    /// When the adapter does not take it. All take 1 to 52 letters, digits, `_` and `-`.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, ConnectError> {
        self.prefix = Some(filled(prefix, PREFIX)?.to_owned());
        self.build()?;
        Ok(self)
    }

    /// The same backplane, waiting so long for the server when it is opened; 5 s unless it is set.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The sort of bus.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bus, once its server let us in: one link is opened, hears the lane that every node hears, and is given
    /// up again. It is not tried twice.
    ///
    /// # Errors
    /// When the server is not there, does not let us in or does not answer before the deadline. Nothing is left open.
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
        let kind = Kind::of_scheme(&scheme).ok_or_else(unknown)?;
        // Else `nats:4222` would be a host called nats.
        if kind != Kind::Memory && !rest.starts_with("//") {
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
            Kind::Memory => memory::bus(url, prefix),
            Kind::Redis | Kind::Valkey => redis::bus(url, prefix, "redis"),
            Kind::Nats => nats::bus(url, prefix, "nats"),
            Kind::Postgres => postgres::bus(url, prefix, "postgres"),
        }
        .map_err(|refusal| match refusal {
            Refusal::NotCompiledIn(feature) => ConnectError::NotCompiledIn { setting, feature },
            Refusal::Invalid(source) => ConnectError::Invalid { setting, source },
            Refusal::Prefix(source) => ConnectError::Invalid {
                setting: PREFIX,
                source,
            },
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

fn variable(setting: &'static str) -> Result<Option<String>, ConnectError> {
    match env::var(setting) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(ConnectError::Empty { setting }),
    }
}

/// The value without the space around it.
fn filled<'a>(value: &'a str, setting: &'static str) -> Result<&'a str, ConnectError> {
    match value.trim() {
        "" => Err(ConnectError::Empty { setting }),
        value => Ok(value),
    }
}
