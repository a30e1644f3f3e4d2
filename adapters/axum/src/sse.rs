//! Server-sent events as a response.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use midplane::{AttachOptions, Error, Event, IntoEvent, IntoTarget, Item, Plane, Target};
use midplane_http::{EventStream, block};

use crate::rejection::Rejection;

/// Server-sent events of a connection to the plane: [`Sse::serve`] is the response.
pub fn sse(plane: &Plane) -> Sse {
    Sse {
        plane: plane.clone(),
        targets: Vec::new(),
        options: AttachOptions::new(),
        encode: Box::new(|item| Some(block(&item))),
        first: None,
    }
}

type Encode = Box<dyn FnMut(Item) -> Option<Bytes> + Send>;
type First = BoxFuture<'static, Result<Event, Error>>;

/// The settings of a response with server-sent events: [`sse`].
#[must_use = "`serve` makes the response"]
pub struct Sse {
    plane: Plane,
    targets: Vec<Result<Target, Error>>,
    options: AttachOptions,
    encode: Encode,
    first: Option<First>,
}

impl Sse {
    /// Joins the connection to this target too. One that is none answers the request with 400.
    pub fn associate(mut self, target: impl IntoTarget) -> Self {
        self.targets.push(target.into_target());
        self
    }

    /// Attaches the connection with these options.
    pub fn options(mut self, options: AttachOptions) -> Self {
        self.options = options;
        self
    }

    /// Makes blocks of items by this function: see [`EventStream`].
    pub fn encode(mut self, encode: impl FnMut(Item) -> Option<Bytes> + Send + 'static) -> Self {
        self.encode = Box::new(encode);
        self
    }

    /// Sends what this future gives before all events. It runs once publishers on every node reach the targets, so that what it reads
    /// and what comes behind it leave no hole between them.
    pub fn first<E: IntoEvent>(mut self, first: impl Future<Output = E> + Send + 'static) -> Self {
        self.first = Some(Box::pin(async move { first.await.into_event() }));
        self
    }

    /// The response, once publishers on every node reach the targets.
    pub async fn serve(self) -> Response {
        match self.start().await {
            Ok(response) => response,
            Err(error) => Rejection::from(error).into_response(),
        }
    }

    async fn start(self) -> Result<Response, Error> {
        let targets: Result<Vec<_>, _> = self.targets.into_iter().collect();
        let connection = self.plane.attach_with(self.options);
        for target in &targets? {
            connection.associate(target).await?;
        }
        let first = match self.first {
            Some(first) => Some(first.await?),
            None => None,
        };
        let timer = Arc::new(midplane::tokio::Timer::new());
        let mut stream = EventStream::new(connection, timer).encode(self.encode);
        if let Some(first) = first {
            stream = stream.first(first);
        }
        let body = stream.map(Ok::<_, std::convert::Infallible>);
        let headers = [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-cache"),
        ];
        let proxies = [("x-accel-buffering", "no")];
        Ok((headers, proxies, Body::from_stream(body)).into_response())
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse")
            .field("plane", &self.plane)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}
