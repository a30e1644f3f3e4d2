//! `POST /publish`, and how the body of a request is read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, StatusCode};
use midplane::core::Delivered;
use midplane::{Answer, Ask, Audience, Refusal, Relay};

use crate::answers::{Counted, milliseconds};
use crate::idempotency::Reused;
use crate::message::Posted;
use crate::query;
use crate::request::{Publish, parse_publish};
use crate::response::{Body, Failure, JSON, failure, invalid, line, respond};
use crate::state::App;

/// Publishes an event. With `?confirm=` milliseconds it waits for that long at most until every node has said how many of its
/// connections took it.
pub(crate) async fn publish(app: &App, request: Request<Incoming>) -> Response<Body> {
    let confirm = match confirmation(request.uri().query().unwrap_or_default()) {
        Ok(confirm) => confirm,
        Err(message) => return invalid(message),
    };
    let body = match body(app, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let posting = match parse_publish(&body) {
        Ok(posting) => posting,
        Err(fault) => {
            let (line, column) = fault.place().unzip();
            let failed = &Failure {
                error: fault.code(),
                message: fault.to_string(),
                line,
                column,
            };
            return failure(StatusCode::BAD_REQUEST, failed);
        }
    };
    let act = || publish_once(app, &posting.publish);
    let key = match (posting.idempotency_key, confirm) {
        (None, None) => {
            let (status, posted) = act();
            return respond(status, JSON, posted);
        }
        (None, Some(within)) => {
            let (status, posted) = publish_confirmed(app, &posting.publish, within).await;
            return respond(status, JSON, posted);
        }
        (Some(_), Some(_)) => {
            let message = "confirm and an idempotency_key do not go together: what every node answered once is not \
                           what it would answer to another";
            return invalid(message);
        }
        (Some(key), None) => key,
    };
    let now = app.runtime.timer.now();
    match app.idempotency.once(now, &key, &body, act) {
        Ok((status, posted)) => respond(status, JSON, posted),
        Err(Reused) => {
            let message = "this idempotency_key was used for another publication";
            failure(StatusCode::CONFLICT, &Failure::new("reused", message))
        }
    }
}

/// The status and the body of the answer to a publication.
fn publish_once(app: &App, publish: &Publish<'_>) -> (StatusCode, Bytes) {
    let receipt = app.publish(&Audience::from(publish.target.clone()), &publish.event());
    let posted = Posted::new(receipt.local, receipt.relay, None);
    (status_of(receipt.relay), line(&posted))
}

/// The status and the body of the answer to a publication that every node has confirmed, or not in time.
async fn publish_confirmed(
    app: &App,
    publish: &Publish<'_>,
    within: Duration,
) -> (StatusCode, Bytes) {
    let audience = Audience::from(publish.target.clone());
    let event = publish.event();
    let answers = app.plane.publish_confirmed(&audience, &event, within).await;
    let local = match answers.here {
        Answer::Delivered(delivered) => delivered,
        _ => Delivered::default(),
    };
    app.count(local, answers.relay);
    let posted = Posted::new(local, answers.relay, Some(Counted::from(&answers)));
    (status_of(answers.relay), line(&posted))
}

/// A publisher that looks at the status alone must not take for relayed what is not.
fn status_of(relay: Relay) -> StatusCode {
    match relay {
        Relay::Refused(Refusal::TooLarge { .. } | Refusal::TooMany { .. }) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Relay::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

/// For how long a publisher waits for every node to confirm, if it wants to.
fn confirmation(query: &str) -> Result<Option<Duration>, String> {
    let mut confirm = None;
    for (name, value) in query::pairs(query) {
        if name != "confirm" || confirm.is_some() {
            return Err("the query takes confirm, once".into());
        }
        confirm = Some(milliseconds(name, value.as_deref())?);
    }
    Ok(confirm)
}

/// The body of a request, or the answer to one that is too large or too slow.
pub(crate) async fn body(app: &App, request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    let limit = app.config.max_body;
    let reading = read_body(request.into_body(), limit);
    let (status, failed) = match app
        .runtime
        .timer
        .within(app.config.body_timeout, reading)
        .await
    {
        Some(Ok(body)) => return Ok(body),
        Some(Err(BodyError::TooLarge)) => {
            let message = format!("the body has at most {limit} bytes");
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                Failure::new("too_large", message),
            )
        }
        Some(Err(BodyError::Broken(error))) => (
            StatusCode::BAD_REQUEST,
            Failure::new("malformed", error.to_string()),
        ),
        None => {
            let message = format!("the body did not come within {:?}", app.config.body_timeout);
            (
                StatusCode::REQUEST_TIMEOUT,
                Failure::new("timeout", message),
            )
        }
    };
    Err(failure(status, &failed))
}

enum BodyError {
    TooLarge,
    Broken(hyper::Error),
}

/// What is read of a body beyond its limit, in bytes, so that a client that writes it all before it
/// reads gets the answer. A client that sends more finds the connection closed.
const SURPLUS: usize = 1 << 20;

async fn read_body(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().lower();
    if announced > (limit + SURPLUS) as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut read = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(BodyError::Broken)?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        size += bytes.len();
        if size > limit + SURPLUS {
            return Err(BodyError::TooLarge);
        }
        if size <= limit {
            read.extend_from_slice(bytes);
        }
    }
    if size > limit {
        return Err(BodyError::TooLarge);
    }
    Ok(read.freeze())
}
