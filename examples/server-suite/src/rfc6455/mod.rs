//! The WebSocket protocol (RFC 6455), case by case, as a client that speaks it byte by byte.
//!
//! The cases are those of Autobahn's test suite for servers, in the groups that it has, without those of compression, which the
//! servers do not negotiate. Autobahn's server echoes; here a text comes back as the id of the answer to a request, and a binary
//! message is refused in words.

mod case;
mod closing;
mod frame;
mod framing;
mod text;
mod traffic;

use futures::stream::{self, StreamExt};

use case::Case;
pub(crate) use closing::closes;
pub(crate) use framing::{fragments, pings, reserved};
pub(crate) use text::utf8;
pub(crate) use traffic::messages;

use crate::endpoint::Endpoint;

/// How many cases are played at once.
const AT_ONCE: usize = 16;

/// A group of cases.
#[derive(Debug)]
pub(crate) struct Cases(Vec<Case>);

impl Cases {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Plays every case on a connection of its own.
    ///
    /// # Panics
    /// When one goes wrong, with all that did.
    pub(crate) async fn play(self, server: Endpoint) {
        let played = stream::iter(self.0)
            .map(|case| case.play(server))
            .buffer_unordered(AT_ONCE);
        let wrong: Vec<String> = played
            .filter_map(async |outcome| outcome.err())
            .collect()
            .await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
