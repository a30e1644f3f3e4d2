//! Why a connection ended.

use core::fmt;

/// Why a connection is not attached any more: see [`Attachment::end`](crate::Attachment::end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// The attachment was detached or dropped.
    Detached,
    /// Another connection was attached with its id.
    Replaced,
    /// A [question](crate::Question::Disconnect) of any node detached it.
    Disconnected,
    /// The sink said [`Closed`](crate::Verdict::Closed), as that of a mailbox does which
    /// [disconnects](crate::mailbox::Overflow::Disconnect) when it is full.
    SinkClosed,
    /// The sink panicked.
    SinkPanicked,
    /// The backplane was closed, or was from the start.
    Closed,
}

/// The words that follow "the connection ended: ".
impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detached => "it was detached",
            Self::Replaced => "another connection has its id",
            Self::Disconnected => "it was disconnected by an operator",
            Self::SinkClosed => "its reader was too slow or gone",
            Self::SinkPanicked => "its sink panicked",
            Self::Closed => "the backplane is closed",
        })
    }
}
