//! axum with midplane-axum: what the publisher says goes to the topic that every subscriber is in.

use std::io;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::any;
use midplane::{Plane, Target};
use midplane_axum::Client;

#[tokio::main]
async fn main() -> io::Result<()> {
    let plane = Plane::local();
    let router = Router::new().route("/ws", any(upgrade)).with_state(plane);
    peers::serve(router).await
}

async fn upgrade(
    State(plane): State<Plane>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.read_buffer_size(4 << 10);
    let client = midplane_axum::ws(upgrade, &plane);
    if query.is_none_or(|query| !query.starts_with("publisher")) {
        return client.associate(Target::topic("room")).serve();
    }
    client.serve_with(async |mut client: Client| {
        let room = Target::topic("room")?;
        while let Some(text) = client.text().await? {
            client.plane().try_publish(&room, text.as_str())?;
        }
        Ok(())
    })
}
