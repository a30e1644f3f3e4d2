//! One connection of a link: a client of the driver's that never gets to reconnect.

use std::fs;
use std::future::{poll_fn, ready};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, ReconnectToServer, ServerAddr};
use midplane_core::bus::{BusError, BusErrorKind, Secrets};

use crate::arrivals::{Arrivals, Events, MESSAGES, WINDOW};
use crate::error::refused;
use crate::settings::Nats;
use crate::tls;
use crate::url::Login;

/// Where the driver may reconnect to: nowhere. Nothing listens on port 0, so each attempt fails at once.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// How often the driver asks a silent server whether it is there: it begins to count anew with all that arrives. It drops
/// the socket of a link that was dropped only when it can write or when two of these went unanswered.
const PING: Duration = Duration::from_secs(5);

/// How many frames wait for the driver to write them.
const COMMANDS: usize = 32;

/// What the driver reads at once, in bytes.
const READ_BYTES: u16 = 32 << 10;

/// The least that a message must be able to hold, in bytes: a heartbeat with something in it.
const SMALLEST: usize = 1 << 10;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Subscribes to the lanes, and publishes without echo.
    Lanes,
    /// Brings back what has to come back.
    Relay,
    /// Finds out how many subscriptions the server takes.
    Trial,
}

impl Purpose {
    /// What operators see of the connection.
    fn name(self) -> &'static str {
        match self {
            Self::Lanes => "midplane",
            Self::Relay => "midplane relay",
            Self::Trial => "midplane trial",
        }
    }

    /// How many messages the driver holds for a subscription.
    fn messages(self) -> usize {
        match self {
            Self::Lanes | Self::Trial => MESSAGES,
            // More come of unknown senders alone.
            Self::Relay => WINDOW * 4,
        }
    }
}

/// A connection, as it was opened.
pub(crate) struct Dialed {
    pub(crate) client: Client,
    /// The one of the addresses that the connection was opened to.
    pub(crate) address: ServerAddr,
    /// The largest message that its server takes, in bytes.
    pub(crate) largest: usize,
}

impl Dialed {
    /// Which server the connection is with.
    pub(crate) fn server(&self) -> String {
        self.client.server_info().server_id
    }

    /// Which server the connection is with, and of which cluster: nodes on several servers of one cluster hear each other.
    pub(crate) fn broker(&self) -> String {
        let server = self.client.server_info();
        match server.cluster {
            Some(cluster) => format!("nats cluster {cluster}, server {}", server.server_id),
            None => format!("nats server {}", server.server_id),
        }
    }
}

/// Opens a connection to one of these servers, in random order; why it is over goes to `arrivals`. The runtime is current.
pub(crate) async fn dial(
    nats: &Nats,
    servers: &[ServerAddr],
    purpose: Purpose,
    arrivals: &Arc<Arrivals>,
) -> Result<Dialed, BusError> {
    let (options, secrets) = login(nats)?;
    let options = match purpose {
        Purpose::Lanes => options.no_echo(),
        Purpose::Relay | Purpose::Trial => options,
    };
    let events = Events {
        arrivals: Arc::clone(arrivals),
        secrets: secrets.clone(),
        messages: purpose.messages(),
    };
    let connected = Arc::new(AtomicBool::new(false));
    let was_connected = Arc::clone(&connected);
    let client = options
        .name(purpose.name())
        .event_callback(move |event| {
            events.take(event);
            ready(())
        })
        .ignore_discovered_servers()
        .max_reconnects(servers.len())
        .reconnect_delay_callback(|_| Duration::ZERO)
        // The driver logs as an error that it gives up, but where somebody else chooses the servers.
        .reconnect_to_server_callback(move |servers, _| {
            let server = servers.into_iter().next();
            let server = server.filter(|_| was_connected.load(Ordering::Relaxed));
            ready(server.map(|server| ReconnectToServer {
                addr: server.addr,
                delay: Some(Duration::ZERO),
            }))
        })
        .ping_interval(PING)
        .client_capacity(COMMANDS)
        .subscription_capacity(purpose.messages())
        .read_buffer_capacity(READ_BYTES)
        .connect(servers.to_vec())
        .await
        .map_err(|error| refused(nats, &secrets, error))?;
    connected.store(true, Ordering::Relaxed);
    let Some(address) = settle(&client).await else {
        // The server may have said why; the driver reports that before it reports that the connection is gone.
        return Err(match poll_fn(|cx| arrivals.inbox.poll_next(cx)).await {
            Some(Err(error)) => error,
            _ => arrivals.failure(),
        });
    };
    let largest = client.max_payload();
    if largest < SMALLEST {
        return Err(BusError::new(
            BusErrorKind::Protocol,
            format!(
                "the NATS server takes messages of {largest} bytes, and a node needs {SMALLEST}: raise the server's \
                 `max_payload`"
            ),
        ));
    }
    Ok(Dialed {
        client,
        address,
        largest,
    })
}

/// The address that the driver chose. The driver has no switch for its reconnection, which would lose messages in silence:
/// so it is left without a server to reconnect to; had it reconnected before this, it would count two connections.
async fn settle(client: &Client) -> Option<ServerAddr> {
    let servers = client.server_pool().await.ok()?;
    let chosen = servers.into_iter().find(|server| server.did_connect)?;
    client.set_server_pool(NOWHERE).await.ok()?;
    let connects = client.statistics().connects.load(Ordering::Relaxed);
    (connects == 1).then_some(chosen.addr)
}

/// The driver's options for one connection, and what no text about it may show. Files are read here, anew for each.
fn login(nats: &Nats) -> Result<(ConnectOptions, Secrets), BusError> {
    let options = ConnectOptions::new().tls_client_config(tls::config(nats)?);
    let secrets = Secrets::default();
    Ok(match nats.endpoint.login.clone() {
        Login::Anonymous => (options, secrets),
        Login::Token(token) => {
            let secrets = secrets.with(&token);
            (options.token(token), secrets)
        }
        Login::Password { user, password } => {
            let secrets = secrets.with(&password);
            (options.user_and_password(user, password), secrets)
        }
        Login::Seed(seed) => {
            let secrets = secrets.with(&seed);
            (options.nkey(seed), secrets)
        }
        Login::File(path) => {
            let unusable = |error: io::Error| {
                let message = format!("no credentials in the file {}", path.display());
                BusError::new(BusErrorKind::Denied, message).caused_by(error)
            };
            let text = fs::read_to_string(&path).map_err(unusable)?;
            // A token and a seed, between lines of dashes.
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| line.len() > 20 && !line.starts_with("--"));
            let secrets = lines.fold(secrets, |secrets, line| secrets.with(line));
            (options.credentials(&text).map_err(unusable)?, secrets)
        }
    })
}
