//! socketioxide with its local adapter: clients join rooms, a publisher emits into them.

use std::io;

use axum::Router;
use axum::serve::ListenerExt;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(1_024).build_layer();
    // A client says with its connect packet what it joins: a message of its own could overtake that
    // packet, for the server handles each in a task.
    io.ns("/", async |socket: SocketRef, Data(room): Data<String>| {
        socket.on(
            "publish",
            async |socket: SocketRef, Data((room, event)): Data<(String, Value)>| {
                // The local adapter does not fail.
                let _ = socket.to(room).emit("e", &event).await;
            },
        );
        if !room.is_empty() {
            socket.join(room);
        }
        // A client that is gone needs no answer.
        let _ = socket.emit("joined", &());
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    peers::announce(listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        // A socket that takes no options is gone, and its first read says so.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}
