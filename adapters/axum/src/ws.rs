//! A WebSocket as a response.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::Message;
use axum::response::{IntoResponse, Response};
use midplane::{AttachOptions, Error, IntoTarget, Item, Plane, Target};
use midplane_http::{Close, PumpSettings, Session};

use crate::client::Client;
use crate::dialect::{AxumDialect, Encode, Hint, hint, message};
use crate::rejection::Rejection;

/// A WebSocket of a connection to the plane: [`Ws::serve`] is the response.
pub fn ws(upgrade: WebSocketUpgrade, plane: &Plane) -> Ws {
    Ws {
        upgrade,
        plane: plane.clone(),
        targets: Vec::new(),
        options: AttachOptions::new(),
        settings: PumpSettings::default(),
        encode: None,
        hint: None,
    }
}

/// The settings of a WebSocket: [`ws`].
#[must_use = "`serve` makes the response"]
pub struct Ws {
    upgrade: WebSocketUpgrade,
    plane: Plane,
    targets: Vec<Result<Target, Error>>,
    options: AttachOptions,
    settings: PumpSettings,
    encode: Option<Encode>,
    hint: Option<Hint>,
}

impl Ws {
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

    /// Pings the client as these say.
    pub fn pings(mut self, settings: PumpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Makes messages of items by this function. Unless it is set, an event of text is a text message and one of bytes a
    /// binary one; losses are `{"midplane":"lost","count":n}` and reports that events may be missing
    /// `{"midplane":"missed"}`. With it set, a client is told when to come back only by a [hint](Self::hint).
    pub fn encode(
        mut self,
        encode: impl Fn(Item) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        self.encode = Some(Arc::new(encode));
        self
    }

    /// Makes the message that tells a client when to come back to a server that goes, in front of the close with code 1012.
    /// The time is 1 to 2 s, another for each client. Unless it or [`encode`](Self::encode) is set it is
    /// `{"midplane":"closing","reason":"the server restarts","return_after_ms":1480}`.
    pub fn hint(
        mut self,
        hint: impl Fn(Duration) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        self.hint = Some(Arc::new(hint));
        self
    }

    /// The response of a client that is only told: what it sends is read and dropped.
    #[must_use]
    pub fn serve(self) -> Response {
        self.serve_with(|mut client: Client| async move {
            while client.next().await.is_some() {}
            Ok(())
        })
    }

    /// The response of a client with a protocol of the application: `task` runs once publishers on every node reach the targets, and
    /// its end ends the session, with the [`Close`] that it returns.
    #[must_use]
    pub fn serve_with<F, T>(self, task: F) -> Response
    where
        F: FnOnce(Client) -> T + Send + 'static,
        T: Future<Output = Result<(), Close>> + Send + 'static,
    {
        match self.start(task) {
            Ok(response) => response,
            Err(error) => Rejection::from(error).into_response(),
        }
    }

    fn start<F, T>(self, task: F) -> Result<Response, Error>
    where
        F: FnOnce(Client) -> T + Send + 'static,
        T: Future<Output = Result<(), Close>> + Send + 'static,
    {
        let targets: Result<Vec<_>, _> = self.targets.into_iter().collect();
        let timer = Arc::new(midplane::tokio::Timer::new());
        let session = Session::open(&self.plane, self.options, &targets?, timer, self.settings)?;
        let (plane, handle) = (self.plane, session.handle());
        let dialect = AxumDialect {
            // Who reads messages of the application's own reads none of ours.
            hint: match (self.hint, &self.encode) {
                (Some(hint), _) => hint,
                (None, None) => Arc::new(hint),
                (None, Some(_)) => Arc::new(|_| None),
            },
            encode: self.encode.unwrap_or_else(|| Arc::new(message)),
        };
        Ok(self.upgrade.on_upgrade(move |socket| {
            session.run(socket, dialect, |requests| {
                task(Client::new(plane, handle, requests))
            })
        }))
    }
}

impl fmt::Debug for Ws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ws")
            .field("plane", &self.plane)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}
