//! How a store gets its connections.

use std::fmt;

use async_trait::async_trait;
use midplane_completions::BackendError;
use midplane_core::bus::Secrets;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{Client, Connection};

use crate::driver::DriverConnection;
use crate::login;
use crate::url::Endpoint;

/// Opens the connections of a [`PostgresStore`](crate::PostgresStore), where a program does that itself: with its own TLS, its
/// own tunnel or proxy, or passwords that it gets in its own way.
///
/// A connection comes with its client and with what drives it, since a subscription listens (`LISTEN`), and what the server
/// says to that comes out of the connection. So a pool whose connections are driven elsewhere cannot be handed in here; it can
/// run the [statements](crate::PostgresStatements) of producers and the ledger.
///
/// ```
/// use async_trait::async_trait;
/// use midplane_completions::{BackendError, BackendErrorKind};
/// use midplane_postgres::{PostgresConnect, PostgresConnection};
/// use tokio_postgres::{Config, NoTls};
///
/// #[derive(Debug)]
/// struct OwnConnections(Config);
///
/// #[async_trait]
/// impl PostgresConnect for OwnConnections {
///     async fn connect(&self) -> Result<PostgresConnection, BackendError> {
///         let connected = self.0.connect(NoTls).await;
///         let (client, connection) = connected.map_err(|error| {
///             BackendError::new(BackendErrorKind::Unreachable, "there is no connection").caused_by(error)
///         })?;
///         Ok(PostgresConnection::new(client, connection))
///     }
/// }
/// ```
#[async_trait]
pub trait PostgresConnect: Send + Sync + fmt::Debug + 'static {
    /// Opens a connection to the primary, in one attempt, each time it is called: the store tries again, and drops the future
    /// at its deadline. Nothing may use the connection beside the store, which polls it wherever it is polled itself: a
    /// connection of tokio's works on every executor for as long as the runtime runs that it was opened on.
    ///
    /// # Errors
    /// When there is no connection. Nothing is left open, and no secret is in the text.
    async fn connect(&self) -> Result<PostgresConnection, BackendError>;
}

/// An open connection to the database of a store, which nothing else uses.
pub struct PostgresConnection {
    pub(super) client: Client,
    pub(super) driver: Box<dyn DriverConnection>,
    /// What no text of the server may show.
    pub(super) secrets: Secrets,
}

impl PostgresConnection {
    /// The connection of this client, driven by what came with the client.
    #[must_use]
    pub fn new<S, T>(client: Client, connection: Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self {
            client,
            driver: Box::new(connection),
            secrets: Secrets::default(),
        }
    }

    /// Hides this text in whatever the server says, such as the password of the connection.
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.secrets = self.secrets.with(secret);
        self
    }
}

impl fmt::Debug for PostgresConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConnection").finish_non_exhaustive()
    }
}

/// What a store does by itself: connections to where a URL leads.
#[async_trait]
impl PostgresConnect for Endpoint {
    async fn connect(&self) -> Result<PostgresConnection, BackendError> {
        let opened = login::open(self, "").await?;
        Ok(PostgresConnection {
            client: opened.client,
            driver: opened.connection,
            secrets: opened.secrets,
        })
    }
}
