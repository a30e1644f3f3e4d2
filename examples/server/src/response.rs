//! The responses of all routes: JSON, failures among it, and the headers that each carries.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::connections::NoPlace;
use crate::events::EventsBody;

/// The body of an answer: whole, or the events of a connection.
pub(crate) type Body = Either<Full<Bytes>, EventsBody>;

/// What went wrong, as the body of an answer.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) error: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
}

impl Failure {
    pub(crate) fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
            line: None,
            column: None,
        }
    }

    /// A body that is not what it has to be, and where.
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        Self {
            error: "invalid",
            message: error.to_string(),
            line: Some(error.line()),
            column: Some(error.column()),
        }
    }
}

pub(crate) fn failure(status: StatusCode, failure: &Failure) -> Response<Body> {
    json(status, failure)
}

/// The answer to a request that is not what it has to be.
pub(crate) fn invalid(message: impl Into<String>) -> Response<Body> {
    failure(StatusCode::BAD_REQUEST, &Failure::new("invalid", message))
}

pub(crate) const JSON: &str = "application/json";

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    respond(status, JSON, line(value))
}

/// The value as a line of JSON.
pub(crate) fn line(value: &impl Serialize) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            bytes.into()
        }
        Err(error) => unreachable!("numbers and text are JSON: {error}"),
    }
}

pub(crate) fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// What a client is told that there is no place for.
pub(crate) fn unavailable() -> Response<Body> {
    let message = "the server takes no more connections now";
    let mut response = failure(
        StatusCode::SERVICE_UNAVAILABLE,
        &Failure::new("unavailable", message),
    );
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// What a client is told that gets no place.
pub(crate) fn no_place(reason: NoPlace) -> Response<Body> {
    match reason {
        NoPlace::Full => unavailable(),
        NoPlace::FullForAddress => {
            let message = "your address has as many connections as one may have";
            let status = StatusCode::TOO_MANY_REQUESTS;
            failure(status, &Failure::new("too_many_connections", message))
        }
    }
}
