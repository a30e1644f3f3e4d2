//! A chat of rooms with a page. Several replicas with one bus are one chat.
//!
//! ```sh
//! MIDPLANE_BACKPLANE_URL=redis://localhost LISTEN=127.0.0.1:8080 cargo run -p axum-app --bin chat
//! ```
#![expect(clippy::print_stdout, reason = "a program that says where it listens")]

use std::env;
use std::error::Error;

use axum::Router;
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::response::{Html, Response};
use axum::routing::get;
use midplane::{Plane, Target};
use midplane_axum::{Client, Close};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// What a page asks for.
#[derive(Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Request {
    Join { room: String },
    Leave { room: String },
    Say { room: String, text: String },
}

/// What everybody in a room is told.
#[derive(Serialize)]
struct Said<'a> {
    room: &'a str,
    name: &'a str,
    text: &'a str,
}

/// Who connects. Nothing proves the name here: take it from your own session.
#[derive(Deserialize)]
struct Person {
    name: String,
}

async fn socket(
    State(plane): State<Plane>,
    Query(person): Query<Person>,
    upgrade: WebSocketUpgrade,
) -> Response {
    midplane_axum::ws(upgrade, &plane).serve_with(|client| talk(client, person.name))
}

/// One person's session: it ends with the socket, or by `?` with a code that says why.
async fn talk(mut client: Client, name: String) -> Result<(), Close> {
    while let Some(request) = client.json().await? {
        match request {
            Request::Join { room } => drop(client.associate(Target::topic(room)).await?),
            Request::Leave { room } => drop(client.dissociate(Target::topic(room))?),
            Request::Say { room, text } => {
                let target = Target::topic(&room)?;
                // Who is not in a room has no say there.
                if !client.handle().targets().contains(&target) {
                    return Err(Close::new(Close::POLICY, "join the room first"));
                }
                let (room, name, text) = (&*room, &*name, &*text);
                let said = midplane::json(&Said { room, name, text });
                client.plane().try_publish(target, said)?;
            }
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let plane = Plane::from_env().await?;
    let router = Router::new()
        .route("/", get(async || Html(include_str!("chat.html"))))
        .route("/ws", get(socket))
        .with_state(plane.clone());
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    midplane_axum::serve(listener, router, plane).await?;
    Ok(())
}
