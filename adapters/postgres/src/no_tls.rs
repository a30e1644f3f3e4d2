//! What stands in for TLS where it is not compiled in.

use tokio_postgres::{Client, Config, Error, NoTls};

use crate::driver::DriverConnection;
use crate::fault::Fault;
use crate::options::{Options, Server};
use crate::socket::Socket;

/// Whether it is compiled in.
pub(crate) const COMPILED: bool = false;

/// How to speak to one server.
pub(crate) struct Connector;

impl Connector {
    /// There is nothing to prepare.
    pub(crate) fn new(_options: &Options, _server: &Server) -> Result<Self, Fault> {
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
