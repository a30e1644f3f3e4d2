//! From a request to a WebSocket: the handshake, and the task that takes over.

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{HeaderMap, Request, Response, StatusCode};
use smol_hyper::rt::FuturesIo;
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::server::create_response_with_body;

use crate::bounded::Bounded;
use crate::connection;
use crate::identity::Identity;
use crate::response::{Body, Failure, failure, no_place};
use crate::runtime::Socket;
use crate::sockets::Place;
use crate::state::App;

/// Answers the handshake; where it succeeds, a task of its own waits for the socket and serves it.
pub(crate) fn upgrade<S: Socket>(
    app: &Arc<App>,
    mut request: Request<Incoming>,
    place: &Place,
) -> Response<Body> {
    pick(request.headers_mut(), CONNECTION, "upgrade");
    pick(request.headers_mut(), UPGRADE, "websocket");
    let response = match create_response_with_body(&request, || Body::Left(Full::default())) {
        Ok(response) => response,
        Err(error) => return refuse(&error),
    };
    let identity = match Identity::from_query(request.uri().query().unwrap_or_default()) {
        Ok(identity) => identity,
        Err(error) => {
            return failure(
                StatusCode::BAD_REQUEST,
                &Failure::new("identity", error.to_string()),
            );
        }
    };
    let permit = match app.take_connection(place.address) {
        Ok(permit) => permit,
        Err(reason) => return no_place(reason),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let task = app.clone();
    let task = async move {
        let _permit = permit;
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "client gone before its upgrade");
                return;
            }
        };
        let connection = match upgraded.downcast::<FuturesIo<Bounded<S>>>() {
            Ok(parts) => {
                let socket = parts.io.into_inner();
                match connection::open(task, identity, socket, &parts.read_buf) {
                    Ok(connection) => connection,
                    Err(error) => {
                        tracing::error!(%error, "client not attached");
                        return;
                    }
                }
            }
            Err(_) => unreachable!("every socket is served as this type"),
        };
        connection.serve().await;
    };
    app.runtime.spawn(task);
    response
}

/// Leaves this word alone of a header that is a list with it, in one line or several ([RFC 9110] 5.3): tungstenite reads
/// no further than the first line.
///
/// [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
fn pick(headers: &mut HeaderMap, name: HeaderName, word: &'static str) {
    let lines = headers.get_all(&name).iter();
    let mut words = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    if words.any(|other| other.trim().eq_ignore_ascii_case(word)) {
        headers.insert(name, HeaderValue::from_static(word));
    }
}

/// Says which part of the handshake is missing.
fn refuse(error: &Error) -> Response<Body> {
    use ProtocolError as P;
    let wants_upgrade = matches!(
        error,
        Error::Protocol(
            P::WrongHttpVersion
                | P::MissingConnectionUpgradeHeader
                | P::MissingUpgradeWebSocketHeader
                | P::MissingSecWebSocketVersionHeader
        )
    );
    let status = if wants_upgrade {
        StatusCode::UPGRADE_REQUIRED
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut response = failure(status, &Failure::new("handshake", error.to_string()));
    if wants_upgrade {
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
