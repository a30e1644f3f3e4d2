//! An axum application whose replicas reach each other's clients: WebSocket, SSE, publish, readiness and drain.
//!
//! ```sh
//! MIDPLANE_BACKPLANE_URL=redis://localhost LISTEN=127.0.0.1:8080 cargo run -p axum-app
//! curl -N 127.0.0.1:8080/sse/news &
//! curl -d 'it turns' 127.0.0.1:8080/publish/news
//! ```
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;
use std::error::Error;

use axum::Router;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use midplane::{Plane, Target};
use midplane_axum::Client;
use tokio::net::TcpListener;

/// A client that is told, and publishes what it says to the others of its topic.
async fn socket(
    State(plane): State<Plane>,
    Path(topic): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let ws = midplane_axum::ws(upgrade, &plane).associate(Target::topic(&topic));
    ws.serve_with(move |mut client: Client| async move {
        while let Some(text) = client.text().await? {
            let others = Target::topic(&topic)?.except(client.id().clone());
            client.plane().try_publish(others, text.as_str())?;
        }
        Ok(())
    })
}

async fn events(State(plane): State<Plane>, Path(topic): Path<String>) -> Response {
    let sse = midplane_axum::sse(&plane).associate(Target::topic(topic));
    sse.serve().await
}

async fn publish(
    State(plane): State<Plane>,
    Path(topic): Path<String>,
    text: String,
) -> midplane_axum::Result<String> {
    let receipt = plane.try_publish(Target::topic(topic), text)?;
    Ok(receipt.accepted().to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let plane = Plane::from_env().await?;
    let router = Router::new()
        .route("/ws/{topic}", get(socket))
        .route("/sse/{topic}", get(events))
        .route("/publish/{topic}", post(publish))
        .route("/readyz", get(midplane_axum::readyz))
        .with_state(plane.clone());
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    midplane_axum::serve(listener, router, plane).await?;
    Ok(())
}
