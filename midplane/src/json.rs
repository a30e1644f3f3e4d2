//! JSON of events, and of external publishers: programs that are no nodes.
//!
//! [`json(&value)`](event) makes an event of a value, and [`value`] a value of an event.
//!
//! # External publishers
//!
//! A node built [`with_external`](midplane_core::ClusterBuilder::with_external)`(json::decode)` subscribes to one more
//! lane of its bus, [`Lane::JSON`](crate::bus::Lane::JSON), on which a program in any language with a client of the
//! server publishes:
//!
//! ```text
//! redis-cli PUBLISH midplane:json '{"target":{"type":"session","id":"s1"},"event":{"hello":1}}'
//! nats pub midplane.json '{"target":{"type":"session","id":"s1"},"event":{"hello":1}}'
//! psql -c "NOTIFY midplane_json, '{\"target\":{\"type\":\"session\",\"id\":\"s1\"},\"event\":{\"hello\":1}}'"
//! ```
//!
//! | field | |
//! |---|---|
//! | `target` | the target: `{"type":"topic","id":"t"}`, or as `{"Topic":"t"}` |
//! | `event` | any JSON; it is delivered as text, byte for byte as it is written |
//! | `key` | what the event is the latest value of: see [`Event::keyed`](crate::Event::keyed) |
//! | `scope` | the labels of the target's scope, outermost first: `["acme"]` |
//! | `except` | the ids of connections that are left out |
//! | `origin` | a name of the publisher's, which nobody reads |
//!
//! The first two must be there, the others may be, and any other field is an error.
//!
//! # Trust
//!
//! A program that may publish on that channel may publish to every connection in every scope, and needs nothing else: the
//! server's permissions guard the channel, and only external publishers should have them. Such messages have no
//! numbers, so a node that was deaf for one reports no gap, and one that is sent twice is delivered twice. What is no
//! such JSON, or larger than a frame of the bus, is counted and changes nothing else.

use std::fmt;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use midplane_core::{
    AgentId, Audience, ConnectionId, Event, EventKey, ExternalEvent, OrgId, Scope, SessionId,
    Target, TopicId, UserId,
};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::builder::Builder;
use crate::connection::{Connection, Item};
use crate::error::Error;

/// Why a message is not understood.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a message on the json lane is not understood: {}",
            self.0
        )
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    target: &'a RawValue,
    #[serde(borrow)]
    event: &'a RawValue,
    key: Option<EventKey>,
    #[serde(default)]
    scope: Vec<String>,
    #[serde(default)]
    except: Vec<ConnectionId>,
    #[serde(borrow, default, rename = "origin")]
    _origin: Option<&'a RawValue>,
}

/// A target with its kind for a key.
#[derive(Deserialize)]
enum Tagged {
    Connection(ConnectionId),
    Session(SessionId),
    User(UserId),
    Org(OrgId),
    Agent(AgentId),
    Topic(TopicId),
}

impl From<Tagged> for Target {
    fn from(tagged: Tagged) -> Self {
        match tagged {
            Tagged::Connection(id) => Self::Connection(id),
            Tagged::Session(id) => Self::Session(id),
            Tagged::User(id) => Self::User(id),
            Tagged::Org(id) => Self::Org(id),
            Tagged::Agent(id) => Self::Agent(id),
            Tagged::Topic(id) => Self::Topic(id),
        }
    }
}

/// The JSON of a value, as an event of text: `midplane::json(&value)`.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn event<T: Serialize + ?Sized>(value: &T) -> Result<Event, Error> {
    let text = serde_json::to_string(value).map_err(|error| wrong(&error))?;
    Ok(Event::text(text))
}

/// The value that an event's JSON is.
///
/// # Errors
/// When the event is no such JSON.
pub fn value<T: DeserializeOwned>(event: &Event) -> Result<T, Error> {
    serde_json::from_slice(event.bytes()).map_err(|error| wrong(&error))
}

fn wrong(error: &serde_json::Error) -> Error {
    Error::Json(error.to_string().into())
}

impl Connection {
    /// The values that the events' JSON is. A loss, a report that events may be missing, and JSON that is no such value
    /// are errors between the values; the stream goes on behind them.
    pub fn json<T: DeserializeOwned>(self) -> impl Stream<Item = Result<T, Error>> + Send {
        self.map(|item| match item {
            Item::Event(event) => value(&event),
            Item::Lost(events) => Err(Error::Lost(events)),
            Item::Missed(_) => Err(Error::Missed),
        })
    }
}

impl Builder {
    /// Subscribes to external publishers that send JSON, as the [module](mod@crate::json) describes it.
    #[must_use]
    pub fn external_json(self) -> Self {
        self.external(decode)
    }
}

/// Reads a message, as the [module](self) describes it.
///
/// # Errors
/// When it is no such JSON.
pub fn decode(message: &Bytes) -> Result<ExternalEvent, JsonError> {
    read(message).map_err(JsonError)
}

fn read(message: &Bytes) -> Result<ExternalEvent, serde_json::Error> {
    let message: Message<'_> = serde_json::from_slice(message)?;
    let mut scope = Scope::default();
    for label in &message.scope {
        scope = scope.child(label).map_err(serde_json::Error::custom)?;
    }
    let event = Event::text(message.event.get());
    Ok(ExternalEvent {
        scope,
        audience: message
            .except
            .into_iter()
            .fold(Audience::from(target(message.target)?), Audience::except),
        event: match message.key {
            Some(key) => event.keyed(key),
            None => event,
        },
    })
}

fn target(text: &RawValue) -> Result<Target, serde_json::Error> {
    let text = text.get();
    serde_json::from_str(text).or_else(|error| match serde_json::from_str::<Tagged>(text) {
        Ok(tagged) => Ok(tagged.into()),
        Err(_) => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understand(text: &str) -> Result<ExternalEvent, String> {
        decode(&Bytes::copy_from_slice(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn both_forms_of_a_target_are_read() {
        for kind in ["connection", "session", "user", "org", "agent", "topic"] {
            let upper = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
            let plain = understand(&format!(
                r#"{{"target":{{"type":"{kind}","id":"x"}},"event":1}}"#
            ))
            .unwrap();
            let tagged = understand(&format!(
                r#"{{"origin":"o","target":{{"{upper}":"x"}},"event":1}}"#
            ))
            .unwrap();
            assert_eq!(plain, tagged);
            let target: Target = format!("{kind}:x").parse().unwrap();
            assert_eq!(plain.audience, target.into());
        }
    }

    #[test]
    fn an_event_is_taken_byte_for_byte_and_every_field_counts() {
        let event = r#"{ "b" : 1.0, "a":"\u00e9" }"#;
        let text = format!(
            r#"{{"target":{{"type":"topic","id":"t"}},"event": {event} ,"key":"k","scope":["a","b"],"except":["c"]}}"#
        );
        let scope = Scope::default().child("a").unwrap().child("b").unwrap();
        let except = ConnectionId::new("c").unwrap();
        let expected = ExternalEvent {
            scope,
            audience: Audience::from(Target::topic("t").unwrap()).except(except),
            event: Event::text(event).keyed(EventKey::new("k").unwrap()),
        };
        assert_eq!(understand(&text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_says_what() {
        let deep = format!(r#"{{"target":{},"event":1}}"#, "[".repeat(100_000));
        for (text, wants) in [
            ("", "EOF"),
            ("null", "invalid type"),
            (r#"{"event":1}"#, "missing field `target`"),
            (
                r#"{"target":{"type":"topic","id":"t"}}"#,
                "missing field `event`",
            ),
            (
                r#"{"target":{"type":"room","id":"t"},"event":1}"#,
                "unknown variant `room`",
            ),
            (
                r#"{"target":{"Session":""},"event":1}"#,
                "expected \"type\"",
            ),
            (
                r#"{"target":{"type":"topic","id":""},"event":1}"#,
                "must not be empty",
            ),
            (
                r#"{"target":{"type":"topic","id":"t"},"event":1,"evnt":2}"#,
                "unknown field `evnt`",
            ),
            (
                r#"{"target":{"type":"topic","id":"t"},"event":1,"scope":[""]}"#,
                "must not be empty",
            ),
            (&deep, ""),
        ] {
            let message = understand(text).unwrap_err();
            assert!(message.contains(wants), "{message}");
        }
        assert!(decode(&Bytes::from_static(b"{\"target\":\"\xff\"}")).is_err());
    }
}
