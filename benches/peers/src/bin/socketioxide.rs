//! socketioxide: clients join rooms, a publisher emits into them. With its local adapter, or with that for
//! the Redis whose URL is the one argument.

use std::error::Error;
use std::io;

use axum::Router;
use axum::serve::ListenerExt;
use redis::Client;
use serde::Deserialize;
use serde_json::Value;
use socketioxide::adapter::Adapter;
use socketioxide::extract::{Data, SocketRef};
use socketioxide::layer::SocketIoLayer;
use socketioxide::{SocketIo, SocketIoBuilder};
use socketioxide_redis::{RedisAdapter, RedisAdapterCtr};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let builder = SocketIo::builder().max_buffer_size(1_024);
    if let Some(url) = std::env::args().nth(1) {
        let client = Client::open(format!("{url}?protocol=resp3"))?;
        let adapter = RedisAdapterCtr::new_with_redis(&client).await?;
        let builder: SocketIoBuilder<RedisAdapter<_>> = builder.with_adapter(adapter);
        let (layer, io) = builder.build_layer();
        io.ns("/", connect).await?;
        serve(layer).await?;
    } else {
        let (layer, io) = builder.build_layer();
        io.ns("/", connect);
        serve(layer).await?;
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

async fn serve<A: Adapter>(layer: SocketIoLayer<A>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    peers::announce(listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        // A socket that takes no options is gone, and its first read says so.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}
