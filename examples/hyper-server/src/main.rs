//! A server on hyper, without a framework: WebSocket, SSE and publish.
//!
//! ```sh
//! MIDPLANE_BACKPLANE_URL=redis://localhost LISTEN=127.0.0.1:8080 cargo run -p hyper-server
//! curl -N 127.0.0.1:8080/sse &
//! curl -d 'it turns' 127.0.0.1:8080/publish
//! ```
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

mod websocket;

use std::convert::Infallible;
use std::sync::Arc;
use std::{env, error::Error};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use midplane::tokio::Timer;
use midplane::{Plane, Target};
use midplane_http::EventStream;
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, Infallible>;

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn answer(plane: Plane, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let answer = route(&plane, request).await;
    Ok(answer.unwrap_or_else(|error| text(StatusCode::BAD_REQUEST, error.to_string())))
}

async fn route(
    plane: &Plane,
    request: Request<Incoming>,
) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
    let topic = Target::topic("news")?;
    Ok(match request.uri().path() {
        "/ws" => websocket::serve(plane, &topic, request)?,
        "/sse" => {
            let connection = plane.attach();
            connection.associate(topic).await?;
            let stream = EventStream::new(connection, Arc::new(Timer::new()));
            let body = StreamBody::new(stream.map(|block| Ok(Frame::data(block))));
            Response::builder()
                .header("content-type", "text/event-stream")
                .header("cache-control", "no-cache")
                .body(body.boxed_unsync())?
        }
        "/publish" => {
            let body = request.into_body().collect().await?.to_bytes();
            let receipt = plane.try_publish(topic, midplane::Event::from_utf8(body))?;
            text(StatusCode::OK, receipt.accepted().to_string())
        }
        "/readyz" if plane.is_ready() => text(StatusCode::OK, "ready".to_owned()),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready".to_owned()),
        _ => text(StatusCode::NOT_FOUND, String::new()),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let plane = Plane::from_env().await?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let accept = async {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                continue;
            };
            let plane = plane.clone();
            let service = service_fn(move |request| answer(plane.clone(), request));
            tokio::spawn(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .with_upgrades(),
            );
        }
    };
    tokio::select! {
        never = accept => never,
        _ = tokio::signal::ctrl_c() => {}
    }
    plane.close().await; // waits for every session and every stream's last words, 5 s at most
    Ok(())
}
