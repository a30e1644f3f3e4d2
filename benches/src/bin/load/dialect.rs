//! The protocols of the servers above WebSocket, and the events that are published over them.

use std::io;

use clap::ValueEnum;

/// The protocol above WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// The example servers: clients join a topic, and publish events into it.
    Midplane,
    /// The plain peers: every message of a client goes to every subscriber.
    Plain,
    /// Socket.IO over WebSocket alone.
    Socketio,
}

/// The part of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Subscriber,
    Publisher,
}

impl Dialect {
    /// The path of the request line, by which a plain peer knows its publisher.
    pub(crate) fn path(self, part: Part) -> String {
        let path = match (self, part) {
            (Self::Midplane, _) => "/ws",
            (Self::Plain, Part::Subscriber) => "/ws?subscriber",
            (Self::Plain, Part::Publisher) => "/ws?publisher",
            (Self::Socketio, _) => "/socket.io/?EIO=4&transport=websocket",
        };
        path.into()
    }

    /// The messages after the upgrade, each with the beginning of its answer.
    pub(crate) fn greeting(self, part: Part) -> Vec<(Option<String>, &'static str)> {
        match self {
            Self::Midplane => vec![
                (None, r#"{"midplane":"welcome""#),
                (
                    Some(r#"{"request":"join","topic":"t0"}"#.into()),
                    r#"{"midplane":"joined""#,
                ),
            ],
            Self::Plain => Vec::new(),
            Self::Socketio => {
                let room = match part {
                    Part::Subscriber => "t0",
                    Part::Publisher => "",
                };
                let connect = format!(r#"40{{"room":"{room}"}}"#);
                vec![(None, "0"), (Some(connect), r#"42["joined""#)]
            }
        }
    }

    /// The message that publishes the event.
    pub(crate) fn publish(self, event: &str) -> String {
        match self {
            Self::Midplane => format!(
                r#"{{"request":"publish","target":{{"type":"topic","id":"t0"}},"exclude_self":true,"event":{event}}}"#
            ),
            Self::Plain => event.into(),
            Self::Socketio => format!(r#"42["publish","t0",{event}]"#),
        }
    }

    /// The event in a message, if the message is one.
    pub(crate) fn event(self, message: &[u8]) -> Option<&[u8]> {
        let event = match self {
            Self::Midplane | Self::Plain => message,
            Self::Socketio => message.strip_prefix(br#"42["e","#)?.strip_suffix(b"]")?,
        };
        event.starts_with(PREFIX.as_bytes()).then_some(event)
    }

    /// Whether events come in the order of their publishing. socketioxide handles each message in a task of its own, and
    /// these tasks overtake each other.
    pub(crate) fn keeps_order(self) -> bool {
        self != Self::Socketio
    }

    /// The answer to a message that wants one: Engine.IO has pings of its own.
    pub(crate) fn answer(self, message: &[u8]) -> Option<&'static str> {
        (self == Self::Socketio && message == b"2").then_some("3")
    }
}

const PREFIX: &str = r#"{"n":""#;
const DIGITS: usize = 10;

/// A numbered event of this many bytes.
pub(crate) fn event(number: u64, bytes: usize) -> String {
    let mut event = format!(r#"{PREFIX}{number:0DIGITS$}","pad":""#);
    let pad = bytes.saturating_sub(event.len() + 2);
    event.extend(std::iter::repeat_n('x', pad));
    event.push_str(r#""}"#);
    event
}

/// The number of an event.
pub(crate) fn number(event: &[u8]) -> io::Result<u64> {
    let digits = event.get(PREFIX.len()..PREFIX.len() + DIGITS);
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| io::Error::other("an event without a number"))
}
