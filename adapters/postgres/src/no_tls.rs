//! What stands in for TLS where it is not compiled in.

use tokio_postgres::{Client, Config, Error, NoTls};

use crate::driver::DriverConnection;
use crate::error::ConnectionError;
use crate::socket::Socket;
use crate::url::{Endpoint, Server};

/// How to speak to one server.
pub(crate) struct Connector;

impl Connector {
    /// There is nothing to prepare.
    pub(crate) fn new(_endpoint: &Endpoint, _server: &Server) -> Result<Self, ConnectionError> {
        Ok(Self)
    }

    /// Logs in over the socket, in the clear.
    pub(crate) async fn connect(
        self,
        login: &Config,
        socket: Socket,
    ) -> Result<(Client, Box<dyn DriverConnection>), Error> {
        let (client, connection) = login.connect_raw(socket, NoTls).await?;
        Ok((client, Box::new(connection)))
    }
}
