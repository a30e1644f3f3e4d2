//! The application's side of a WebSocket.

use axum::extract::ws::{Message, Utf8Bytes};
use midplane::{Associate, ConnectionId, Error, Handle, IntoEvent, IntoTarget, Plane, Verdict};
use midplane_http::{Close, Requests};
use serde::de::DeserializeOwned;

/// A client of a WebSocket, as the task of its session has it: [`Ws::serve_with`](crate::Ws::serve_with).
#[derive(Debug)]
pub struct Client {
    plane: Plane,
    handle: Handle,
    requests: Requests<Message>,
}

impl Client {
    pub(crate) fn new(plane: Plane, handle: Handle, requests: Requests<Message>) -> Self {
        Self {
            plane,
            handle,
            requests,
        }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        self.handle.id()
    }

    /// The plane that the connection is attached to.
    #[must_use]
    pub fn plane(&self) -> &Plane {
        &self.plane
    }

    /// What changes the connection from elsewhere.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Joins the connection to the target: see [`Handle::associate`].
    pub fn associate(&self, target: impl IntoTarget) -> Associate {
        self.handle.associate(target)
    }

    /// Takes the connection out of the target; false if it was not in it.
    ///
    /// # Errors
    /// When there is no such target.
    pub fn dissociate(&self, target: impl IntoTarget) -> Result<bool, Error> {
        self.handle.dissociate(target)
    }

    /// Tells this client alone, in order with the events that it gets. False if it has no room for that, is gone, or it is
    /// no event.
    pub fn send(&self, event: impl IntoEvent) -> bool {
        matches!(self.handle.push(event), Ok(Verdict::Accepted))
    }

    /// The next message of the client, text or binary; `None` when it is gone or is being closed. While this is not
    /// called, the client waits.
    pub async fn next(&mut self) -> Option<Message> {
        self.requests.next().await
    }

    /// The next message, which must be text.
    ///
    /// # Errors
    /// A [`Close`] for `?` in the task, when the message is binary.
    pub async fn text(&mut self) -> Result<Option<Utf8Bytes>, Close> {
        match self.next().await {
            None => Ok(None),
            Some(Message::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Close::new(1003, "a message must be text")),
        }
    }

    /// The value that the next message's JSON is.
    ///
    /// # Errors
    /// A [`Close`] for `?` in the task, when the message is no such JSON.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Close> {
        let Some(text) = self.text().await? else {
            return Ok(None);
        };
        let value = serde_json::from_str(&text);
        value
            .map(Some)
            .map_err(|error| Close::new(Close::POLICY, error.to_string()))
    }
}
