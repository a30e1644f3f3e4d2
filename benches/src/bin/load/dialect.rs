//! What each server wants to hear, and how its events look.

use std::io;

use clap::ValueEnum;

/// The protocol above WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// The example servers: topics are joined, events published into them.
    Midplane,
    /// The plain peers: every message of a client goes to every client with its topic in the path.
    Plain,
    /// Socket.IO over WebSocket alone.
    Socketio,
}

/// Whether a connection gets events or sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Gets the events of one topic.
    Subscriber(usize),
    /// Publishes into all of so many.
    Publisher(usize),
}

impl Dialect {
    /// What stands in the request line. Plain peers learn there who only publishes.
    pub(crate) fn path(self, part: Part) -> String {
        match (self, part) {
            (Self::Midplane, _) => "/ws".into(),
            (Self::Plain, Part::Subscriber(topic)) => format!("/ws?topic={topic}"),
            (Self::Plain, Part::Publisher(_)) => "/ws?publisher".into(),
            (Self::Socketio, _) => "/socket.io/?EIO=4&transport=websocket".into(),
        }
    }

    /// What is said after the upgrade, each with what the answer to it begins with.
    pub(crate) fn greeting(self, part: Part) -> Vec<(Option<String>, &'static str)> {
        match self {
            Self::Midplane => {
                let join = |topic: usize| {
                    let request = format!(r#"{{"request":"join","topic":"t{topic}"}}"#);
                    (Some(request), r#"{"midplane":"joined""#)
                };
                let mut said = vec![(None, r#"{"midplane":"welcome""#)];
                match part {
                    Part::Subscriber(topic) => said.push(join(topic)),
                    Part::Publisher(topics) => said.extend((0..topics).map(join)),
                }
                said
            }
            Self::Plain => Vec::new(),
            Self::Socketio => {
                let room = match part {
                    Part::Subscriber(topic) => format!("t{topic}"),
                    Part::Publisher(_) => String::new(),
                };
                let connect = format!(r#"40{{"room":"{room}"}}"#);
                vec![(None, "0"), (Some(connect), r#"42["joined""#)]
            }
        }
    }

    /// What publishes the event.
    pub(crate) fn publish(self, topic: usize, event: &str) -> String {
        match self {
            Self::Midplane => format!(
                r#"{{"request":"publish","target":{{"type":"topic","id":"t{topic}"}},"exclude_self":true,"event":{event}}}"#
            ),
            Self::Plain => event.into(),
            Self::Socketio => format!(r#"42["publish","t{topic}",{event}]"#),
        }
    }

    /// The event in a message, if it is one.
    pub(crate) fn event(self, message: &[u8]) -> Option<&[u8]> {
        let event = match self {
            Self::Midplane | Self::Plain => message,
            Self::Socketio => message.strip_prefix(br#"42["e","#)?.strip_suffix(b"]")?,
        };
        event.starts_with(PREFIX.as_bytes()).then_some(event)
    }

    /// Whether events come in the order they were published in. socketioxide handles each message in a
    /// task of its own, and those overtake each other.
    pub(crate) fn keeps_order(self) -> bool {
        self != Self::Socketio
    }

    /// What a message is to be answered by: Engine.IO has pings of its own.
    pub(crate) fn answer(self, message: &[u8]) -> Option<&'static str> {
        (self == Self::Socketio && message == b"2").then_some("3")
    }
}

const PREFIX: &str = r#"{"n":""#;
const DIGITS: usize = 10;

/// A numbered event of so many bytes.
pub(crate) fn event(number: u64, bytes: usize) -> String {
    let mut event = format!(r#"{PREFIX}{number:0DIGITS$}","pad":""#);
    let pad = bytes.saturating_sub(event.len() + 2);
    event.extend(std::iter::repeat_n('x', pad));
    event.push_str(r#""}"#);
    event
}

/// The number of an event.
pub(crate) fn number(event: &[u8]) -> io::Result<u64> {
    event
        .get(PREFIX.len()..PREFIX.len() + DIGITS)
        .and_then(|digits| {
            digits.iter().try_fold(0, |number, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| number * 10 + u64::from(digit - b'0'))
            })
        })
        .ok_or_else(|| io::Error::other("an event without a number"))
}
