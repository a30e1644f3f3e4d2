//! `GET /events`: a connection whose events come as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::Either;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use midplane::id::TopicId;
use midplane::{ConnectionEnd, Item};
use midplane_http::{EventStream, block};

use crate::client::Client;
use crate::connection_reach::ConnectionReach;
use crate::identity::Identity;
use crate::message::Body as Message;
use crate::query;
use crate::request::is_forged;
use crate::response::{Body, Failure, failure, no_place, unavailable};
use crate::sockets::Place;
use crate::state::App;

/// The name of a topic in the query, which may stand there several times.
const TOPIC: &str = "topic";

/// The blocks of a client's connection, from its welcome to its end.
pub(crate) struct EventsBody {
    first: VecDeque<Bytes>,
    events: EventStream,
    client: Arc<Client>,
    reach: ConnectionReach,
    ended: bool,
}

/// Attaches a connection of the identity that the query says, joins its topics, and answers with its events. The socket's
/// place is given back: from here on it is a client's.
pub(crate) async fn events(
    app: &Arc<App>,
    request: &Request<Incoming>,
    place: &Place,
) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let invalid =
        |message: String| failure(StatusCode::BAD_REQUEST, &Failure::new("identity", message));
    let identity = match Identity::from_query_with(query, |name| name == TOPIC) {
        Ok(identity) => identity,
        Err(error) => return invalid(error.to_string()),
    };
    let topics = query::pairs(query).filter(|(name, _)| *name == TOPIC);
    let topics: Option<Vec<_>> = topics.map(|(_, topic)| TopicId::new(topic?).ok()).collect();
    let Some(topics) = topics else {
        return invalid("a topic is 1 to 255 bytes in percent-encoding".into());
    };
    let permit = match app.take_connection(place.address) {
        Ok(permit) => permit,
        Err(reason) => return no_place(reason),
    };
    let (connection, client) = match Client::attach(app.clone(), identity) {
        Ok(attached) => attached,
        Err(error) => {
            let failed = &Failure::new("internal", error.to_string());
            return failure(StatusCode::INTERNAL_SERVER_ERROR, failed);
        }
    };
    // What is published from here on waits in the mailbox until the answer is written.
    let Some(welcome) = client.welcome().await else {
        return unavailable();
    };
    let mut first = VecDeque::from([named("welcome", &welcome)]);
    for topic in topics {
        match client.follow(topic).await {
            Ok(joined) => first.push_back(named("joined", &joined)),
            Err((code, message)) => {
                return failure(StatusCode::BAD_REQUEST, &Failure::new(code, message));
            }
        }
    }
    let told = client.clone();
    let events = EventStream::new(connection, app.runtime.timer.clone());
    let events = events.encode(move |item| encode(&told, &item));
    place.leave(permit);
    let body = EventsBody {
        first,
        events,
        reach: ConnectionReach::new(app.live.watch()),
        client,
        ended: false,
    };
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The socket has no place for another request.
        (header::CONNECTION, "close"),
        // nginx would else collect blocks.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The block of an item, and its count.
fn encode(client: &Client, item: &Item) -> Option<Bytes> {
    match item {
        Item::Event(event) if is_forged(event) => Some(named("lost", &client.lost(1))),
        Item::Event(_) => Some(block(item)),
        Item::Lost(count) => Some(named("lost", &client.lost(*count))),
        Item::Missed(missed) => Some(named("missed", &client.missed(missed))),
        _ => None,
    }
}

/// The block of a message of the server's own, which is one line.
fn named(name: &str, message: &str) -> Bytes {
    format!("event: {name}\ndata: {message}\n\n").into()
}

impl EventsBody {
    fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(next) = self.events.poll_next_unpin(context) {
            return Poll::Ready(match next {
                None if !self.ended => {
                    self.ended = true;
                    self.goodbye()
                }
                next => next,
            });
        }
        match self.reach.change(&self.client, context) {
            Some(reach) => {
                let reach = reach.into();
                let changed = Message::Reach { reach }.unasked();
                Poll::Ready(Some(named("reach", &changed)))
            }
            None => Poll::Pending,
        }
    }

    /// What a client is told of an end that a browser would else take for a fault, and come back.
    fn goodbye(&self) -> Option<Bytes> {
        let end = self.client.attachment.end()?;
        // A server that goes has said when to come back.
        if let ConnectionEnd::Closed | ConnectionEnd::Detached = end {
            return None;
        }
        let reason = &*end.to_string();
        let closing = Message::Closing {
            reason,
            return_after_ms: None,
        };
        Some(named("closing", &closing.unasked()))
    }
}

impl HttpBody for EventsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let block = ready!(self.poll_block(context));
        Poll::Ready(block.map(|block| Ok(Frame::data(block))))
    }
}
