//! The routes.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};

use crate::events::events;
use crate::flows::{Flows, Refused};
use crate::guard;
use crate::health;
use crate::identity;
use crate::operations;
use crate::operators::Operators;
use crate::posting::{self, publish};
use crate::response::{Body, Failure, failure, json, respond};
use crate::runtime::Socket;
use crate::sockets::Place;
use crate::state::App;
use crate::upgrade::upgrade;

/// Of the old HTTP/1.1, and what proxies read.
const KEEP_ALIVE: header::HeaderName = header::HeaderName::from_static("keep-alive");

/// Answers one request, and says for how long the connection is kept. An answer that lasts gives the socket's place back.
pub(crate) async fn answer<S: Socket>(
    app: Arc<App>,
    request: Request<Incoming>,
    place: &Place,
) -> Result<Response<Body>, Infallible> {
    let keep_alive = format!("timeout={}", app.config.kept().as_secs());
    let mut response = route::<S>(app, request, place).await;
    // Digits are a header's value. A WebSocket is kept by other rules, and what says itself that it ends is not kept.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        && !response.headers().contains_key(header::CONNECTION)
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
    place: &Place,
) -> Response<Body> {
    let methods = match request.uri().path() {
        "/" | "/midplane.js" | "/healthz" | "/readyz" | "/nodes" | "/count" | "/metrics" => {
            "GET, HEAD"
        }
        "/ws" | "/events" => "GET",
        "/publish" | "/flows" | "/disconnect" => "POST",
        _ => {
            let failed = &Failure::new(
                "not_found",
                "there is /, /midplane.js, /ws, /events, /publish, /flows, /healthz and /readyz, and for operators /nodes, \
                 /count, /disconnect and /metrics",
            );
            return failure(StatusCode::NOT_FOUND, failed);
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
        return response;
    }
    let path = request.uri().path();
    let operator = app.operators.admit(request.headers());
    match path {
        // A probe may have any Host or none, and learns no more than it has to, as does everybody who is no operator.
        "/healthz" if operator => return health::healthz(&app),
        "/healthz" => return health::answers(),
        "/readyz" if operator => return health::readyz(&app),
        "/readyz" => return health::is_ready(&app),
        _ => {}
    }
    // A foreign page has no token, so who is an operator by one comes in under any name.
    if !operator && let Err(error) = guard::check(request.headers(), &app.config.public_host) {
        let failed = &Failure::new("forbidden", error.to_string());
        return failure(StatusCode::FORBIDDEN, failed);
    }
    match path {
        "/" => page(),
        "/midplane.js" => respond(
            StatusCode::OK,
            "text/javascript; charset=utf-8",
            include_str!("midplane.js"),
        ),
        "/ws" => upgrade::<S>(&app, request, place),
        "/events" => events(&app, &request, place).await,
        "/flows" => start_flow(&app, request).await,
        "/publish" => publish(&app, request).await,
        _ if !operator => no_operator(&app.operators),
        "/nodes" => operations::nodes(&app),
        "/count" => operations::count(&app, request.uri().query().unwrap_or_default()).await,
        "/metrics" => operations::metrics(&app),
        _ => operations::disconnect(&app, request).await,
    }
}

/// What is told who asks for what operators have, and is none.
fn no_operator(operators: &Operators) -> Response<Body> {
    let Operators::Token(_) = operators else {
        let message = "operators ask from this machine, directly; behind a proxy, with the token of \
                       --operator-token-file";
        return failure(StatusCode::FORBIDDEN, &Failure::new("operators", message));
    };
    let failed = &Failure::new(
        "operators",
        "operators send the token as Authorization: Bearer",
    );
    let mut response = failure(StatusCode::UNAUTHORIZED, failed);
    let bearer = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, bearer);
    response
}

/// The page, which holds its own style and script and imports the client; the policy lets nothing else in or out.
fn page() -> Response<Body> {
    const PAGE: &str = include_str!("page/page.html");
    const STYLE: &str = include_str!("page/page.css");
    const SCRIPT: &str = include_str!("page/page.js");
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
    let page = page.replace("{style}", STYLE).replace("{script}", SCRIPT);
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

async fn start_flow(app: &Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let body = match posting::body(app, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let started = match serde_json::from_slice(&body) {
        Ok(wanted) => Flows::start(app, wanted),
        Err(error) => return failure(StatusCode::BAD_REQUEST, &Failure::json(&error)),
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
