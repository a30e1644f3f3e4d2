//! socketioxide: clients join rooms, a publisher emits into them. With its local adapter, or with that for
//! the Redis whose URL is the one argument.

use std::error::Error;

use axum::Router;
use redis::Client;
use serde::Deserialize;
use serde_json::Value;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{Data, SocketRef};
use socketioxide::{SocketIo, SocketIoBuilder};
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = SocketIo::builder().max_buffer_size(1_024);
    if let Some(url) = std::env::args().nth(1) {
        let client = Client::open(format!("{url}?protocol=resp3"))?;
        let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
        let builder: SocketIoBuilder<RedisAdapter<_>> = builder.with_adapter(adapter);
        let (layer, io) = builder.build_layer();
        io.ns("/", connect).await?;
        peers::serve(Router::new().layer(layer)).await?;
    } else {
        let (layer, io) = builder.build_layer();
        io.ns("/", connect);
        peers::serve(Router::new().layer(layer)).await?;
    }
    Ok(())
}

/// What a client connects with.
#[derive(Deserialize)]
struct Hello {
    room: String,
}

/// A client says with its connect packet what it joins: a message of its own could overtake that packet, for
/// the server handles each in a task.
async fn connect<A: Adapter>(socket: SocketRef<A>, Data(Hello { room }): Data<Hello>) {
    socket.on(
        "publish",
        async |socket: SocketRef<A>, Data((room, event)): Data<(String, Value)>| {
            // What the adapter refuses is missing at the other end, where it is noticed.
            let _ = socket.to(room).emit("e", &event).await;
        },
    );
    if !room.is_empty() {
        socket.join(room);
    }
    // A client that is gone needs no answer.
    let _ = socket.emit("joined", &());
}
