//! One attempt to get a connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio_postgres::{AsyncMessage, Client, Error, SimpleQueryMessage};

use crate::driver::DriverConnection;
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::socket;
use crate::tls::Connector;
use crate::url::{Endpoint, Server};

/// One attempt to connect to each server, in the order given, until one is a primary that accepts the login. These
/// statements are run there.
pub(crate) async fn open(
    endpoint: &Endpoint,
    set_up: &str,
) -> Result<(Client, Box<dyn DriverConnection>), ConnectionError> {
    let mut failure = None;
    for server in &endpoint.servers {
        match connect(endpoint, server, set_up).await {
            Ok(open) => return Ok(open),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| ConnectionError::of(None)))
}

async fn connect(
    endpoint: &Endpoint,
    server: &Server,
    set_up: &str,
) -> Result<(Client, Box<dyn DriverConnection>), ConnectionError> {
    let connector = Connector::new(endpoint, server)?;
    let socket = socket::open(server).await.map_err(|error| {
        let message = format!("no Postgres server was reached at {server}");
        ConnectionError::new(ConnectionErrorKind::Unreachable, message).caused_by(error)
    })?;
    let connected = connector.connect(&endpoint.login(), socket).await;
    let (client, mut connection) = connected.map_err(|error| refused(server, error))?;
    // A standby takes no LISTEN, and no change.
    let set_up = format!("{set_up}; SELECT pg_is_in_recovery()");
    let call = client.simple_query(&set_up);
    let rows = drive(&mut *connection, &mut false, call)
        .await
        .map_err(ConnectionError::of)?;
    let standby = rows.iter().any(
        |row| matches!(row, SimpleQueryMessage::Row(row) if row.try_get(0).is_ok_and(|value| value == Some("t"))),
    );
    if standby {
        let message =
            format!("the Postgres server at {server} is a standby, which knows no LISTEN");
        return Err(ConnectionError::new(
            ConnectionErrorKind::Unreachable,
            message,
        ));
    }
    Ok((client, connection))
}

fn refused(server: &Server, error: Error) -> ConnectionError {
    // Only the text distinguishes this from other failures.
    let message = if error.to_string().contains("TLS") {
        format!(
            "there is no TLS with the Postgres server at {server} that we can trust: look at `sslmode` and \
             `sslrootcert` of the url, and at the certificate of the server"
        )
    } else {
        format!(
            "the Postgres server at {server} refuses the login: look at the user, the password and \
             the database of the url"
        )
    };
    ConnectionError::new(ConnectionErrorKind::of(&error), message).caused_by(error)
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
