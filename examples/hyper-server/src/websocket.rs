//! A WebSocket by tungstenite: the handshake, and what the library calls the messages of a session.

use std::error::Error;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use midplane::tokio::Timer;
use midplane::{AttachOptions, Plane, Target};
use midplane_http::{
    Dialect, Frame, Incoming, Outgoing, PumpSettings, Requests, Session, closing, frame,
};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::Body;

/// Answers the handshake, and serves the socket in a task of its own.
pub(crate) fn serve(
    plane: &Plane,
    topic: &Target,
    mut request: Request<hyper::body::Incoming>,
) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
    let response = create_response_with_body(&request, || Full::default().boxed_unsync())?;
    let (options, timer) = (AttachOptions::new(), Arc::new(Timer::new()));
    let session = Session::open(
        plane,
        options,
        slice::from_ref(topic),
        timer,
        PumpSettings::default(),
    )?;
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else {
            return;
        };
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        // What a client says is read and dropped; an application with a protocol of its own answers it here.
        let told = async |mut requests: Requests<_>| {
            while requests.next().await.is_some() {}
            Ok(())
        };
        session.run(socket, Tungstenite, told).await;
    });
    Ok(response)
}

struct Tungstenite;

impl Dialect for Tungstenite {
    type Message = Message;

    fn write(&self, outgoing: Outgoing) -> Option<Message> {
        Some(match outgoing {
            Outgoing::Item(item) => match frame(&item) {
                Frame::Text(text) => Message::text(text.into_owned()),
                Frame::Binary(bytes) => Message::Binary(bytes),
            },
            Outgoing::Ping => Message::Ping(Bytes::new()),
            Outgoing::ReturnAfter(time) => Message::text(closing(time)),
            Outgoing::Close(close) => {
                let (code, reason) = close.into_parts();
                let (code, reason) = (code.into(), reason.into());
                Message::Close(Some(CloseFrame { code, reason }))
            }
            _ => return None,
        })
    }

    fn read(&self, message: &Message) -> Incoming {
        match message {
            Message::Text(_) | Message::Binary(_) => Incoming::Request,
            Message::Close(_) => Incoming::Close,
            _ => Incoming::Sign,
        }
    }
}
