//! From settings to a plane that is live.

use std::fmt::{self, Display};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use midplane_core::bus::{Bus, BusError, BusErrorKind, Signing};
use midplane_core::node::Config;
use midplane_core::{Driver, ExternalEvent, Notice, Runtime, State, Timer};
use parking_lot::Mutex;

use crate::connect::{ConnectError, NodeSettings, Settings};
use crate::error::Error;
use crate::fresh::{fresh_node_id, process_name};
use crate::host::{Cluster, ClusterBuilder};
use crate::log;
use crate::plane::{Node, Plane};
use crate::runtime::{current, probe};

/// How long [`Builder::connect`] takes at most.
const DEADLINE: Duration = Duration::from_secs(5);

/// How a plane is opened.
impl Plane {
    /// The plane at this URL: `redis://localhost`, `nats://…`, `postgres://…`, `memory:`; [`connect`](crate::connect)
    /// has them all. It runs on the [current](crate::runtime::current) runtime, and is live when this returns: what other
    /// nodes publish comes, and what is published here goes to them.
    ///
    /// It takes an eighth of a [heartbeat](Config::heartbeat), 250 ms by default, beside what the server takes: that long the
    /// node waits for the others to say who they are. The first on a bus in memory has nobody to wait for, and is live at once.
    ///
    /// # Errors
    /// When the URL is none, no runtime fits, or the plane is not live within 5 s. The error says what to do, and nothing
    /// is left open; nor is it when the future is dropped.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// The plane that the environment names by `MIDPLANE_BACKPLANE_URL` and the variables beside it, or a plane of one
    /// node where none is set. [`connect`](crate::connect) has the variables.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and when a variable is set to what cannot be.
    pub async fn from_env() -> Result<Self, Error> {
        match Builder::from_env()? {
            Some(builder) => builder.connect().await,
            None => {
                log::alone();
                Ok(Self::local())
            }
        }
    }

    /// Settings of a plane at this URL. What is wrong with it is said by [`Builder::connect`].
    #[must_use]
    pub fn builder(url: &str) -> Builder {
        Builder::at(url)
    }
}

/// Settings of a [`Plane`]: [`Plane::builder`].
pub struct Builder {
    source: Result<Source, ConnectError>,
    runtime: Option<Arc<dyn Runtime>>,
    config: Config,
    parts: Option<Parts>,
    deadline: Duration,
    degraded: bool,
}

/// Adds to the builder of the core what has to be added in one go.
type Parts = Box<dyn FnOnce(ClusterBuilder) -> ClusterBuilder + Send>;

enum Source {
    Settings(Settings),
    Bus(Arc<dyn Bus>),
}

impl Builder {
    fn of(source: Result<Source, ConnectError>) -> Self {
        Self {
            source,
            runtime: None,
            config: Config::default(),
            parts: None,
            deadline: DEADLINE,
            degraded: false,
        }
    }

    pub(crate) fn at(url: &str) -> Self {
        Self::of(Settings::parse(url).map(Source::Settings))
    }

    /// The settings that the environment names: see [`Plane::from_env`]. `None` where it names no bus. What is set on the
    /// builder afterwards counts.
    ///
    /// # Errors
    /// When a variable is set to what cannot be, or without the other that it needs. The error names it.
    pub fn from_env() -> Result<Option<Self>, Error> {
        let (settings, node) = (Settings::from_env()?, NodeSettings::from_env()?);
        let Some(settings) = settings else {
            node.fits_one_node()?;
            return Ok(None);
        };
        let mut builder = Self::of(Ok(Source::Settings(settings)));
        if let Some(name) = node.name {
            builder = builder.name(name);
        }
        if let Some(name) = node.cluster_name {
            builder = builder.cluster_name(name);
        }
        if let Some(members) = node.expected_members {
            builder = builder.expected_members(members);
        }
        if let Some(signing) = node.signing {
            builder = builder.signing(signing);
        }
        Ok(Some(builder))
    }

    /// A plane on this bus: for what no URL can say, as a file of credentials.
    #[must_use]
    pub fn bus(bus: Arc<dyn Bus>) -> Self {
        Self::of(Ok(Source::Bus(bus)))
    }

    /// Names the runtime. Unless it is, the plane runs on the [current](crate::runtime::current) one.
    #[must_use]
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// Sets what the names of the bus's channels begin with, `midplane` unless it is set: 1 to 52 ASCII letters, digits, `_`
    /// and `-`. Planes with different prefixes do not reach each other, and planes with the same do, whatever services they
    /// are of. A [bus](Self::bus) has its own.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.source = self.source.and_then(|source| match source {
            Source::Settings(settings) => settings.with_prefix(prefix).map(Source::Settings),
            bus => Ok(bus),
        });
        self
    }

    /// Sets how the node behaves: [`Config`]. The nodes of a plane should agree on the heartbeat, the time to live and the lanes.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Gives the node a name for people, `host:pid` unless it is set: see [`ClusterBuilder::with_name`].
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|builder| builder.with_name(name))
    }

    /// Gives the plane a name that must agree, so that services which share a prefix by mistake do not get each other's
    /// events: see [`ClusterBuilder::with_cluster_name`].
    #[must_use]
    pub fn cluster_name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.with(|builder| builder.with_cluster_name(name))
    }

    /// Sets how many nodes are to hear each other at least, this one among them, for the plane to be live: see
    /// [`Config::expected_members`].
    #[must_use]
    pub fn expected_members(mut self, members: usize) -> Self {
        self.config.expected_members = members;
        self
    }

    /// Adds parts to the node by the builder of the core: a registry with other limits, or a subscription to external
    /// publishers. What was added before stays.
    ///
    /// ```
    /// # use midplane::{Plane, Registry};
    /// // A connection may be in 10,000 targets.
    /// let builder = Plane::builder("memory:").with(|node| node.with_registry(Registry::with_limit(10_000)));
    /// ```
    #[must_use]
    pub fn with(
        mut self,
        add: impl FnOnce(ClusterBuilder) -> ClusterBuilder + Send + 'static,
    ) -> Self {
        let before = self.parts.take();
        self.parts = Some(Box::new(move |builder| {
            add(match before {
                Some(before) => before(builder),
                None => builder,
            })
        }));
        self
    }

    /// Subscribes to external publishers, whose messages `decode` reads: see [`ClusterBuilder::with_external`].
    #[must_use]
    pub fn external<E: Display>(
        self,
        decode: impl Fn(&Bytes) -> Result<ExternalEvent, E> + Send + Sync + 'static,
    ) -> Self {
        self.with(move |builder| builder.with_external(decode))
    }

    /// Signs the node's frames, and verifies those of others: see [`ClusterBuilder::with_signing`]. The keys of a file are
    /// read by [`read_keys`](crate::connect::read_keys).
    #[must_use]
    pub fn signing(self, signing: Signing) -> Self {
        self.with(move |builder| builder.with_signing(signing))
    }

    /// Sets for how long [`connect`](Self::connect) waits until the plane is live; 5 s unless it is set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Lets [`connect`](Self::connect) return at once: for a service that must start without its bus. The plane goes on
    /// connecting for as long as it takes, and [`Plane::ready`] says when it is live.
    #[must_use]
    pub fn start_degraded(mut self) -> Self {
        self.degraded = true;
        self
    }

    /// Opens the plane and waits until it is live.
    ///
    /// # Errors
    /// When the settings are no bus, no runtime fits, the server refuses the plane, or the plane is not live in time.
    /// Nothing is left open; nor is it when the future is dropped.
    pub async fn connect(self) -> Result<Plane, Error> {
        let source = self.source?;
        let (bus, settings) = match source {
            Source::Settings(settings) => (settings.bus()?, Some(settings)),
            Source::Bus(bus) => (bus, None),
        };
        let runtime = self.runtime.map_or_else(current, Ok)?;
        probe(&runtime).await?;
        let mut builder = Cluster::builder(self.config).with_name(process_name());
        if let Some(add) = self.parts {
            builder = add(builder);
        }
        let timer: Arc<dyn Timer> = runtime.clone();
        let id = fresh_node_id().map_err(|error| ConnectError::NoRandomness(error.kind()))?;
        let (cluster, driver) = builder.build(id, bus, timer);
        let node = Node::Cluster(cluster.clone());
        let plane = Plane::opening(Arc::new(cluster.clone()), Some(runtime.clone()), node);
        let panicked = Arc::new(Mutex::new(None));
        log::follow(&runtime, plane.notices(), cluster);
        // Before the driver runs: what it says first is what an error says.
        let opening = Opening {
            plane,
            settings,
            panicked: panicked.clone(),
            deadline: self.deadline,
        };
        let live = opening.live();
        runtime.spawn(drive(driver, panicked).boxed());
        match self.degraded {
            true => {
                opening.plane.opened();
                Ok(opening.plane.clone())
            }
            false => {
                let timer: &dyn Timer = &*runtime;
                let outcome = timer.within(self.deadline, live).await;
                opening.outcome(outcome).await
            }
        }
    }
}

/// Runs the driver to its end, and keeps what it says if it panics before its handles learn that it is gone.
async fn drive(driver: Driver, panicked: Arc<Mutex<Option<Arc<str>>>>) {
    let mut driver = pin!(AssertUnwindSafe(driver).catch_unwind());
    if let Err(panic) = driver.as_mut().await {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        *panicked.lock() = Some(text.unwrap_or_else(|| "it does not say why".into()).into());
    }
}

/// A plane that is being opened. Dropped before it is live it closes, for nobody else has it.
struct Opening {
    plane: Plane,
    settings: Option<Settings>,
    panicked: Arc<Mutex<Option<Arc<str>>>>,
    deadline: Duration,
}

/// What an opening came to.
enum Opened {
    Live,
    /// The first attempt to open a link failed, for this reason.
    Refused(String),
    Stopped,
}

impl Opening {
    fn live(&self) -> impl Future<Output = Opened> + Send + use<> {
        let mut notices = self.plane.notices();
        async move {
            while let Some(notice) = notices.next().await {
                match notice {
                    Notice::State(State::Live) => return Opened::Live,
                    Notice::Bus(reason) => return Opened::Refused(reason),
                    Notice::State(State::Stopped) => return Opened::Stopped,
                    _ => {}
                }
            }
            Opened::Stopped
        }
    }

    async fn outcome(self, opened: Option<Opened>) -> Result<Plane, Error> {
        if let Some(Opened::Live) = opened {
            self.plane.opened();
            return Ok(self.plane);
        }
        let _ = self.plane.backplane().close(Duration::ZERO).await;
        let setting = self.settings.as_ref().map_or("the bus", Settings::setting);
        Err(match opened {
            Some(Opened::Refused(reason)) => {
                let source = BusError::new(BusErrorKind::Unreachable, reason);
                ConnectError::Refused { setting, source }.into()
            }
            Some(Opened::Live | Opened::Stopped) => Error::Stopped {
                panic: self.panicked.lock().clone(),
            },
            None => ConnectError::NotLive {
                setting,
                deadline: self.deadline,
            }
            .into(),
        })
    }
}

impl fmt::Debug for Builder {
    /// Nothing of the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("runtime", &self.runtime)
            .field("config", &self.config)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
