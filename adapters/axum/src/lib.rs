//! WebSocket and SSE responses of a midplane connection, for any axum application.
//!
//! ```no_run
//! use axum::Router;
//! use axum::extract::{Path, State, WebSocketUpgrade};
//! use axum::response::Response;
//! use axum::routing::{get, post};
//! use midplane::{Plane, Target};
//!
//! async fn socket(State(plane): State<Plane>, Path(user): Path<String>, up: WebSocketUpgrade) -> Response {
//!     midplane_axum::ws(up, &plane).associate(Target::user(user)).serve()
//! }
//!
//! async fn events(State(plane): State<Plane>, Path(user): Path<String>) -> Response {
//!     midplane_axum::sse(&plane).associate(Target::user(user)).serve().await
//! }
//!
//! async fn publish(State(plane): State<Plane>, Path(user): Path<String>, text: String) -> midplane_axum::Result<String> {
//!     let receipt = plane.try_publish(Target::user(user), text)?;
//!     Ok(receipt.accepted().to_string())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let plane = Plane::connect("redis://localhost").await?;
//!     let router = Router::new()
//!         .route("/ws/{user}", get(socket))
//!         .route("/sse/{user}", get(events))
//!         .route("/publish/{user}", post(publish))
//!         .route("/readyz", get(midplane_axum::readyz))
//!         .with_state(plane.clone());
//!     let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
//!     midplane_axum::serve(listener, router, plane).await?; // until SIGINT or SIGTERM, and then to the last word
//!     Ok(())
//! }
//! ```
//!
//! # Guarantees
//!
//! Those of [`midplane_http`]: what waits is written before the goodbye, and each end has its code. A client's message that
//! was read is given to the application, however the client ended. While the application does not read, the client waits.
//! A client of [`serve`] that takes no byte of a response or a WebSocket for 60 s is cut off, once the plane drains after 2 s.
//!
//! # Map
//!
//! [`ws`] makes a response of an upgrade, [`sse`] one with server-sent events. [`readyz`] answers what a load balancer
//! asks, and [`serve`] is `axum::serve` with an end that loses nothing. [`Client`] is the application's side of a WebSocket
//! with a protocol of its own, and [`Rejection`] turns midplane's errors into answers.

mod client;
mod dialect;
mod listener;
mod rejection;
mod serve;
mod sse;
mod ws;

pub use client::Client;
pub use midplane_http::{Close, PumpSettings};
pub use rejection::{Rejection, Result, readyz};
pub use serve::{Serve, serve};
pub use sse::{Sse, sse};
pub use ws::{Ws, ws};

/// The programs of the guides, held to compile.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../docs/guides/socketio.md")]
    struct SocketIo;
    #[doc = include_str!("../../../docs/guides/sse.md")]
    struct ServerSentEvents;
}
