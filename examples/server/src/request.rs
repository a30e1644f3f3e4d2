//! What clients send: the JSON of their requests, parsed.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;
use midplane::id::{AgentId, TopicId};
use midplane::{Event, EventKey, Target};
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What a WebSocket client asks for.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    CreateSession {
        agent: Option<AgentId>,
    },
    ResumeSession {
        session: Cow<'a, str>,
        agent: Option<AgentId>,
    },
    Join {
        topic: TopicId,
    },
    Leave {
        topic: TopicId,
    },
    Publish(Publish<'a>, ExcludeSelf),
    /// For an answer, by which a client knows that the server is there.
    Ping,
}

/// Whether the publisher itself is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExcludeSelf(pub(crate) bool);

/// An event and its target.
#[derive(Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) target: Target,
    event: &'a RawValue,
    key: Option<EventKey>,
}

impl Publish<'_> {
    /// The event, byte for byte as it was written. It is copied out of the message, which would
    /// else live as long.
    pub(crate) fn event(&self) -> Event {
        let event = Event::text(self.event.get());
        match &self.key {
            Some(key) => event.keyed(key.clone()),
            None => event,
        }
    }
}

/// A request that could not be read.
#[derive(Debug)]
pub(crate) struct Malformed<'a> {
    /// The request's id, where that much could be read.
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) fault: RequestFault,
}

/// What is wrong with a text.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum RequestFault {
    /// The text is not a JSON object with a `request`.
    Malformed(serde_json::Error),
    /// There is no request of this name.
    UnknownRequest(String),
    /// A field is missing, unknown, or not what it has to be.
    Invalid(serde_json::Error),
    /// The event is an object with the key `midplane`, which would pass for a message of the
    /// server.
    Reserved,
}

impl RequestFault {
    /// The stable name clients can tell faults by.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnknownRequest(_) => "unknown_request",
            Self::Invalid(_) => "invalid",
            Self::Reserved => "reserved",
        }
    }

    /// Where in the text it is, counted from 1: line and column.
    pub(crate) fn place(&self) -> Option<(usize, usize)> {
        match self {
            Self::Malformed(error) | Self::Invalid(error) => Some((error.line(), error.column())),
            Self::UnknownRequest(_) | Self::Reserved => None,
        }
    }
}

/// What a client sent may stand in a message; more of it than this does not.
const LONGEST_MESSAGE: usize = 300;

impl fmt::Display for RequestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match self {
            Self::Malformed(error) | Self::Invalid(error) => error.to_string(),
            Self::UnknownRequest(name) => format!(
                "unknown request {name:?}, expected create_session, resume_session, join, leave, publish or ping"
            ),
            Self::Reserved => {
                "an event must not be an object with the key \"midplane\", which marks messages of the server".into()
            }
        };
        match message.char_indices().nth(LONGEST_MESSAGE) {
            Some((end, _)) => write!(f, "{}...", &message[..end]),
            None => f.write_str(&message),
        }
    }
}

impl std::error::Error for RequestFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(error) | Self::Invalid(error) => Some(error),
            Self::UnknownRequest(_) | Self::Reserved => None,
        }
    }
}

/// Reads one message of a client: the request, and the id to echo.
pub(crate) fn parse(text: &str) -> Result<(Request<'_>, Option<&RawValue>), Malformed<'_>> {
    /// The fields every request has. The rest is read once it is known which they may be.
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        request: Cow<'a, str>,
        #[serde(borrow, default, deserialize_with = "present")]
        id: Option<&'a RawValue>,
    }

    let head: Head<'_> = serde_json::from_str(text).map_err(|error| Malformed {
        id: None,
        fault: RequestFault::Malformed(error),
    })?;
    match body(&head.request, text) {
        Ok(request) => Ok((request, head.id)),
        Err(fault) => Err(Malformed { id: head.id, fault }),
    }
}

/// Defines what a request looks like: its own fields beside those of every request.
macro_rules! fields {
    ($name:ident<'a> { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name<'a> {
            #[serde(rename = "request")]
            _request: IgnoredAny,
            #[serde(borrow, rename = "id", default)]
            _id: Option<&'a RawValue>,
            $($(#[$attribute])* $field: $type),*
        }
    };
}

fn body<'a>(name: &str, text: &'a str) -> Result<Request<'a>, RequestFault> {
    fields!(CreateSession<'a> { agent: Option<AgentId> });
    fields!(ResumeSession<'a> { #[serde(borrow)] session: Cow<'a, str>, agent: Option<AgentId> });
    fields!(Join<'a> { topic: TopicId });
    fields!(Ping<'a> {});
    fields!(Publishing<'a> {
        target: Target,
        #[serde(borrow)] event: &'a RawValue,
        key: Option<EventKey>,
        #[serde(default)] exclude_self: bool,
    });

    Ok(match name {
        "create_session" => {
            let CreateSession { agent, .. } = read(text)?;
            Request::CreateSession { agent }
        }
        "resume_session" => {
            let ResumeSession { session, agent, .. } = read(text)?;
            Request::ResumeSession { session, agent }
        }
        "join" => {
            let Join { topic, .. } = read(text)?;
            Request::Join { topic }
        }
        "leave" => {
            let Join { topic, .. } = read(text)?;
            Request::Leave { topic }
        }
        "publish" => {
            let parts: Publishing<'_> = read(text)?;
            let publish = Publish {
                target: parts.target,
                event: unreserved(parts.event)?,
                key: parts.key,
            };
            Request::Publish(publish, ExcludeSelf(parts.exclude_self))
        }
        "ping" => {
            let Ping { .. } = read(text)?;
            Request::Ping
        }
        other => return Err(RequestFault::UnknownRequest(other.into())),
    })
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, RequestFault> {
    serde_json::from_str(text).map_err(RequestFault::Invalid)
}

/// The most bytes of an idempotency key.
const LONGEST_KEY: usize = 255;

/// A publication by HTTP, and the key by which a repeated one is known.
#[derive(Debug)]
pub(crate) struct Posting<'a> {
    pub(crate) publish: Publish<'a>,
    pub(crate) idempotency_key: Option<Cow<'a, str>>,
}

/// Reads the body of `POST /publish`.
pub(crate) fn parse_publish(body: &[u8]) -> Result<Posting<'_>, RequestFault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body<'a> {
        target: Target,
        #[serde(borrow)]
        event: &'a RawValue,
        key: Option<EventKey>,
        #[serde(borrow, default, deserialize_with = "idempotency_key")]
        idempotency_key: Option<Cow<'a, str>>,
    }

    let Body {
        target,
        event,
        key,
        idempotency_key,
    } = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            RequestFault::Invalid(error)
        } else {
            RequestFault::Malformed(error)
        }
    })?;
    Ok(Posting {
        publish: Publish {
            target,
            event: unreserved(event)?,
            key,
        },
        idempotency_key,
    })
}

/// A key of some length, and of no more than it may have.
fn idempotency_key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    let key: Cow<'de, str> = Deserialize::deserialize(from)?;
    match key.len() {
        1..=LONGEST_KEY => Ok(Some(key)),
        _ => Err(D::Error::custom(format!(
            "an idempotency_key has 1 to {LONGEST_KEY} bytes"
        ))),
    }
}

/// A field that is there, even if it is `null`.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The event, unless it would pass for a message of the server.
fn unreserved(event: &RawValue) -> Result<&RawValue, RequestFault> {
    if is_reserved(event.get().as_bytes()) {
        return Err(RequestFault::Reserved);
    }
    Ok(event)
}

/// Whether an event would pass for a message of the server. No door of ours lets such an event in: another program
/// published it on the bus.
pub(crate) fn is_forged(event: &Event) -> bool {
    event.is_text() && is_reserved(event.bytes())
}

/// Whether this JSON would pass for a message of the server. Called for each delivery, so it reads a text whole only where
/// the key may stand in it.
fn is_reserved(text: &[u8]) -> bool {
    static KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("midplane"));
    let text = text.trim_ascii();
    // A key can be written with escapes; without any, it stands in the text as it is.
    let possible = || KEY.find(text).is_some() || memchr(b'\\', text).is_some();
    text.starts_with(b"{") && possible() && str::from_utf8(text).is_ok_and(has_reserved_key)
}

fn has_reserved_key(object: &str) -> bool {
    /// Compares bytes, for a key may hold half a surrogate pair, which is JSON and not text.
    struct Key(bool);

    impl<'de> Deserialize<'de> for Key {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Bytes;
            impl Visitor<'_> for Bytes {
                type Value = Key;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a key")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key, E> {
                    Ok(Key(bytes == b"midplane"))
                }
                fn visit_str<E>(self, text: &str) -> Result<Key, E> {
                    Ok(Key(text == "midplane"))
                }
            }
            from.deserialize_bytes(Bytes)
        }
    }

    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some((Key(reserved), IgnoredAny)) = map.next_entry()? {
                if reserved {
                    return Err(A::Error::custom("reserved"));
                }
            }
            Ok(())
        }
    }

    let mut from = serde_json::Deserializer::from_str(object);
    // The text is JSON already, so the one way to fail is to meet the key.
    from.deserialize_map(Keys).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Body;

    fn fault(text: &str) -> (&'static str, String, Option<String>) {
        let Malformed { id, fault } = parse(text).unwrap_err();
        let id = id.map(|id| id.get().to_owned());
        (fault.code(), fault.to_string(), id)
    }

    #[test]
    fn an_id_is_echoed_whatever_it_is() {
        for id in ["7", "null", r#"{ "a" : [1] }"#, r#""x""#] {
            let text = format!(r#"{{"request":"leave","topic":"t","id": {id} }}"#);
            let (Request::Leave { topic }, Some(echo)) = parse(&text).unwrap() else {
                panic!("{text}");
            };
            let answer = Body::Left { topic: &topic }.answering(Some(echo));
            assert_eq!(
                answer,
                format!(r#"{{"midplane":"left","topic":"t","id":{id}}}"#)
            );
        }
    }

    #[test]
    fn a_fault_has_a_code_and_says_which_field() {
        // The text, the code of the fault, a part of its words, and the id that is echoed, if any.
        for row in [
            r#"|malformed|EOF|"#,
            r#"[]|malformed|invalid|"#,
            r#"{"id":1}|malformed|missing field `request`|"#,
            r#"{"request":"join","topic":"t"} x|malformed|trailing|"#,
            r#"{"request":"dance","id":1}|unknown_request|dance|1"#,
            r#"{"request":"join","id":"a"}|invalid|missing field `topic`|"a""#,
            r#"{"request":"join","topic":"t","user":"ada","id":2}|invalid|unknown field `user`|2"#,
            r#"{"request":"join","topic":""}|invalid|must not be empty|"#,
            r#"{"request":"publish","target":{"type":"all","id":"x"},"event":1}|invalid|unknown variant `all`|"#,
            r#"{"request":"publish","target":{"type":"topic","id":"x"}}|invalid|missing field `event`|"#,
        ] {
            let [text, code, wants, id] = row.split('|').collect::<Vec<_>>()[..] else {
                panic!("{row} has four columns");
            };
            let (found, message, echo) = fault(text);
            assert_eq!(
                (found, &*echo.unwrap_or_default()),
                (code, id),
                "{row}: {message}"
            );
            assert!(message.contains(wants), "{row}: {message}");
        }
    }

    #[test]
    fn a_fault_quotes_a_bounded_part_of_what_was_sent() {
        let text = format!(r#"{{"request":"join","{}":1}}"#, "é".repeat(5_000));
        let (_, message, _) = fault(&text);
        assert!(message.chars().count() <= LONGEST_MESSAGE + 3, "{message}");
    }

    #[test]
    fn a_fault_in_a_body_says_where() {
        let place = |body: &str| parse_publish(body.as_bytes()).unwrap_err().place();
        assert_eq!(place("{\n  \"target\": }"), Some((2, 13)));
        assert_eq!(
            place("{\"target\":{\"type\":\"topic\",\"id\":\"t\"},\n\"evnt\":1}"),
            Some((2, 6))
        );
    }
}
