//! The routes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use midplane::{Audience, Refusal, Relay};

use crate::flows::{Flows, Refused};
use crate::guard;
use crate::health;
use crate::idempotency::Reused;
use crate::identity;
use crate::message::Posted;
use crate::request::{Publish, parse_publish};
use crate::response::{Failure, JSON, failure, json, line, respond};
use crate::runtime::Socket;
use crate::state::App;
use crate::upgrade::upgrade;

/// Of the old HTTP/1.1, and what proxies read.
const KEEP_ALIVE: header::HeaderName = header::HeaderName::from_static("keep-alive");

/// Answers one request, and says for how long the connection is kept.
pub(crate) async fn answer<S: Socket>(
    app: Arc<App>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let keep_alive = format!("timeout={}", app.config.kept().as_secs());
    let mut response = route::<S>(app, request).await?;
    // Digits are a header's value. A WebSocket is kept by other rules.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        && let Ok(keep_alive) = HeaderValue::try_from(keep_alive)
    {
        response.headers_mut().insert(KEEP_ALIVE, keep_alive);
    }
    Ok(response)
}

/// Whether a request asks how the server is, and no more.
pub(crate) fn is_probe<B>(request: &Request<B>) -> bool {
    matches!(request.uri().path(), "/healthz" | "/readyz")
}

async fn route<S: Socket>(
    app: Arc<App>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let methods = match request.uri().path() {
        "/" | "/midplane.js" | "/healthz" | "/readyz" => "GET, HEAD",
        "/ws" => "GET",
        "/publish" | "/flows" => "POST",
        _ => {
            let failed = &Failure::new(
                "not_found",
                "there is /, /midplane.js, /ws, /publish, /flows, /healthz and /readyz",
            );
            return Ok(failure(StatusCode::NOT_FOUND, failed));
        }
    };
    if !methods.split(", ").any(|method| request.method() == method) {
        let message = format!("this path takes {methods}");
        let mut response = failure(
            StatusCode::METHOD_NOT_ALLOWED,
            &Failure::new("method", message),
        );
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(methods));
        return Ok(response);
    }
    let path = request.uri().path();
    if let Err(error) = guard::check(request.headers(), &app.config.public_host) {
        return Ok(match path {
            // A probe may have any Host or none, and learns no more than it has to.
            "/healthz" => health::answers(),
            "/readyz" => health::is_ready(&app),
            _ => {
                let failed = &Failure::new("forbidden", error.to_string());
                failure(StatusCode::FORBIDDEN, failed)
            }
        });
    }
    Ok(match path {
        "/" => page(),
        "/midplane.js" => respond(
            StatusCode::OK,
            "text/javascript; charset=utf-8",
            include_str!("midplane.js"),
        ),
        "/healthz" => health::healthz(&app),
        "/readyz" => health::readyz(&app),
        "/ws" => upgrade::<S>(&app, request),
        "/flows" => start_flow(&app, request).await,
        _ => publish(&app, request).await,
    })
}

/// The page, which holds its own style and script and imports the client; the policy lets nothing else in or out.
fn page() -> Response<Full<Bytes>> {
    const PAGE: &str = include_str!("page.html");
    let nonce = match identity::new_nonce() {
        Ok(nonce) => nonce,
        Err(error) => {
            let failed = &Failure::new("internal", error.to_string());
            return failure(StatusCode::INTERNAL_SERVER_ERROR, failed);
        }
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'self'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = PAGE.replace("{nonce}", &nonce);
    let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    // The nonce is hex digits, so the policy is a header's value; without one nothing of the page
    // would run.
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

async fn publish(app: &App, request: Request<Incoming>) -> Response<Full<Bytes>> {
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
    let Some(key) = posting.idempotency_key else {
        let (status, posted) = act();
        return respond(status, JSON, posted);
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
    // A publisher that looks at the status alone must not take for relayed what is not.
    let status = match receipt.relay {
        Relay::Refused(Refusal::TooLarge { .. } | Refusal::TooMany { .. }) => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Relay::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let posted = Posted {
        delivered: usize::from(receipt),
        outcome: receipt.into(),
    };
    (status, line(&posted))
}

async fn start_flow(app: &Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = match body(app, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let started = match serde_json::from_slice(&body) {
        Ok(wanted) => Flows::start(app, wanted),
        Err(error) => {
            let failed = &Failure {
                error: "invalid",
                message: error.to_string(),
                line: Some(error.line()),
                column: Some(error.column()),
            };
            return failure(StatusCode::BAD_REQUEST, failed);
        }
    };
    let refused = match started {
        Ok(started) => return json(StatusCode::ACCEPTED, &started),
        Err(refused) => refused,
    };
    let (status, code) = match refused {
        Refused::Size => (StatusCode::BAD_REQUEST, "invalid"),
        Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        Refused::NoEntropy(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    failure(status, &Failure::new(code, refused.message()))
}

/// The body of a request, or the answer to one that is too large or too slow.
async fn body(app: &App, request: Request<Incoming>) -> Result<Bytes, Response<Full<Bytes>>> {
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
