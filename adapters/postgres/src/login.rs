//! One attempt to get a connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use midplane_core::bus::Secrets;
use tokio_postgres::{AsyncMessage, Client, Config, Error, SimpleQueryMessage, SimpleQueryRow};

use crate::driver::DriverConnection;
use crate::error::{ConnectionError, ConnectionErrorKind, cause};
use crate::socket;
use crate::tls::Connector;
use crate::url::{Endpoint, Server};

/// What bounds a connection that this side has left, or does not read, for the sake of all others on the server. What has
/// given up goes on waiting for locks there, and what is not read holds the queue of notifications and, by the snapshot
/// in which its backend reads that, the horizon of vacuum.
///
/// `tcp_user_timeout` is of Postgres 12.
const READ: &str =
    "SELECT set_config(name, '10s', false) FROM pg_settings WHERE name = 'tcp_user_timeout'";

/// A statement whose client is gone ends within this time. It is of Postgres 14, and refused on systems that do not tell.
const WATCHED: &str = "SET client_connection_check_interval = '1s'";

/// What a server says of itself when a connection is open.
const STANDING: &str = "SELECT pg_is_in_recovery(), host(inet_server_addr()), \
    coalesce(inet_server_port()::text, current_setting('port'))";

/// An open connection.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) connection: Box<dyn DriverConnection>,
    /// What no text of the server may show.
    pub(crate) secrets: Secrets,
    /// Where the connection leads, as the URL has it.
    pub(crate) server: Server,
    /// The server says the address that was connected to: nothing stands between that would give itself out as the server.
    pub(crate) direct: bool,
}

impl Opened {
    /// The first column of the last row that these statements give, as text.
    pub(crate) async fn ask(&mut self, statements: &str) -> Result<Option<String>, Option<Error>> {
        let call = self.client.simple_query(statements);
        let rows = drive(&mut *self.connection, &mut false, call).await?;
        Ok(last(&rows).and_then(|row| row.get(0)).map(str::to_owned))
    }
}

/// One attempt to connect to each server, in the order given, until one is a primary that accepts the login. These
/// statements are run there.
pub(crate) async fn open(endpoint: &Endpoint, set_up: &str) -> Result<Opened, ConnectionError> {
    let (login, secrets) = endpoint.login();
    let mut failure = None;
    for server in &endpoint.servers {
        match connect(endpoint, (&login, &secrets), server, set_up).await {
            Ok(opened) => return Ok(opened),
            Err(error) => failure = Some(error.without(&secrets)),
        }
    }
    Err(failure.unwrap_or_else(|| ConnectionError::of(None)))
}

async fn connect(
    endpoint: &Endpoint,
    (login, secrets): (&Config, &Secrets),
    server: &Server,
    set_up: &str,
) -> Result<Opened, ConnectionError> {
    let connector = Connector::new(endpoint, server)?;
    let socket = socket::open(server).await.map_err(|error| {
        let message = format!("no Postgres server was reached at {server}");
        ConnectionError::new(ConnectionErrorKind::Unreachable, message).caused_by(error)
    })?;
    let peer = socket::peer(&socket);
    let connected = connector.connect(login, socket).await;
    let (client, mut connection) = connected.map_err(|error| refused(server, error))?;
    let set_up = format!("{set_up}; {READ}; {STANDING}");
    let call = client.simple_query(&set_up);
    let rows = drive(&mut *connection, &mut false, call)
        .await
        .map_err(ConnectionError::of)?;
    let standing = |column| last(&rows).and_then(|row| row.get(column));
    // A standby takes no LISTEN, and no change.
    if standing(0) == Some("t") {
        let message =
            format!("the Postgres server at {server} is a standby, which knows no LISTEN");
        return Err(ConnectionError::new(
            ConnectionErrorKind::Unreachable,
            message,
        ));
    }
    let address = peer.map(|peer| peer.ip().to_canonical().to_string());
    let port = peer.map_or(server.port, |peer| peer.port()).to_string();
    let direct = standing(1) == address.as_deref() && standing(2) == Some(&*port);
    let watched = drive(&mut *connection, &mut false, client.simple_query(WATCHED)).await;
    match watched {
        Err(error)
            if error
                .as_ref()
                .is_none_or(|error| error.as_db_error().is_none()) =>
        {
            Err(ConnectionError::of(error))
        }
        _ => Ok(Opened {
            client,
            connection,
            secrets: secrets.clone(),
            server: server.clone(),
            direct,
        }),
    }
}

fn last(messages: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

fn refused(server: &Server, error: Error) -> ConnectionError {
    let kind = ConnectionErrorKind::of(&error);
    let says = match error.as_db_error() {
        Some(says) => says.message().to_owned(),
        None => cause(&error),
    };
    let is_login = match error.code() {
        Some(code) => code.code().starts_with("28"),
        None => kind == ConnectionErrorKind::Denied,
    };
    // Of what the driver itself finds wrong, only the text tells.
    let message = if says.contains("TLS") {
        format!(
            "there is no TLS with the Postgres server at {server} that we can trust: look at `sslmode` and \
             `sslrootcert` of the url, and at the certificate of the server"
        )
    } else if says.contains("channel binding") {
        format!(
            "the Postgres server at {server} does not bind the login to the connection, which `channel_binding` of the \
             url demands: it takes TLS, a password kept as scram-sha-256, and a certificate whose signature has a hash"
        )
    } else if is_login {
        format!(
            "the Postgres server at {server} refuses the login: {says}; look at the user and the password of the url"
        )
    } else if error.as_db_error().is_some() {
        format!("the Postgres server at {server} refuses the connection: {says}")
    } else {
        format!("the connection to the Postgres server at {server} failed: {says}")
    };
    ConnectionError::new(kind, message).caused_by(error)
}

/// Moves the connection on as far as it goes, and notes whether it brought a notification. It is ready when the
/// connection is over, with the reason if there is one.
pub(crate) fn turn(
    connection: &mut dyn DriverConnection,
    woken: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<Infallible, Option<Error>>> {
    loop {
        match connection.poll_message(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(AsyncMessage::Notification(_)))) => *woken = true,
            // Notices, for which nobody asked.
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Some(error))),
            Poll::Ready(None) => return Poll::Ready(Err(None)),
        }
    }
}

/// Waits for the answer to a call, moving the connection on meanwhile. The error is missing where the
/// connection is gone without a reason.
pub(crate) async fn drive<T>(
    connection: &mut dyn DriverConnection,
    woken: &mut bool,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Option<Error>> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Poll::Ready(answer.map_err(Some));
        }
        let over = turn(connection, woken, cx);
        match (call.as_mut().poll(cx), over) {
            (Poll::Ready(Ok(answer)), _) => Poll::Ready(Ok(answer)),
            // The connection knows better why.
            (_, Poll::Ready(Err(Some(error)))) => Poll::Ready(Err(Some(error))),
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(Some(error))),
            (Poll::Pending, Poll::Ready(Err(None))) => Poll::Ready(Err(None)),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}
