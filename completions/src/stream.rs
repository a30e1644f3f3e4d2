//! The stream of a subscription, and its items.

use alloc::boxed::Box;
use alloc::string::String;
use core::error::Error;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::BoxStream;

use crate::error::with_causes;
use crate::{BackendError, BackendErrorKind, Completion, Cursor};

/// An item of a [`CompletionStream`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamItem {
    /// An execution finished.
    Completion(Completion),
    /// The connection was lost and the subscription is live again, confirmed by the server: completions
    /// before this item may have been missed, none after it is. A listener's reconciler walks now.
    Resync,
    /// At most this many completions, some perhaps not let through by the filter, were dropped before this
    /// item: the listener was too slow, or the history too short. A listener's reconciler walks now.
    Lagged(u64),
    /// The store holds a record that is no completion, and the stream has passed it.
    Poison(Poison),
    /// The stream does not work just now, or the store cannot keep what it promises: this is why. Each new reason is
    /// said once. The stream goes on, and yields [`Resync`](Self::Resync) when a lost connection is live again.
    Trouble(Trouble),
}

/// Why a stream does not work just now, or what is wrong with its store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// The kind of the error.
    pub kind: BackendErrorKind,
    /// What is wrong, with the causes behind it. The text never holds a secret.
    pub text: String,
}

impl Trouble {
    /// A trouble of this kind, with this text.
    #[must_use]
    pub fn new(kind: BackendErrorKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }
}

impl From<&BackendError> for Trouble {
    fn from(error: &BackendError) -> Self {
        Self::new(error.kind(), with_causes(error))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Trouble {}

/// A record in the store that cannot be read as a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Poison {
    /// The place of the record, for the operator to look.
    pub cursor: Cursor,
    /// What is wrong with the record.
    pub reason: String,
}

impl Poison {
    /// A record at this place, unreadable for this reason.
    #[must_use]
    pub fn new(cursor: Cursor, reason: impl Into<String>) -> Self {
        Self {
            cursor,
            reason: reason.into(),
        }
    }
}

/// A live subscription. A stream continues until it is dropped, whatever becomes of the connection;
/// dropping the stream closes the connection at once, also in the middle of a wait.
///
/// A stream works when it is polled: nothing is spawned. One that is not polled holds no more than a page,
/// and the rest waits in the backend's history.
pub struct CompletionStream {
    items: BoxStream<'static, StreamItem>,
}

const _: fn() = || {
    fn send_and_unpin<T: Send + Unpin>() {}
    send_and_unpin::<CompletionStream>();
};

impl CompletionStream {
    /// A subscription that yields these items, which should not end. For backends.
    #[must_use]
    pub fn new(items: impl Stream<Item = StreamItem> + Send + 'static) -> Self {
        Self {
            items: Box::pin(items),
        }
    }

    /// The completions alone, without any notice that some were missed: for a program that reconciles on
    /// an interval, or that may miss completions.
    #[must_use]
    pub fn payloads(self) -> Payloads {
        Payloads { stream: self }
    }
}

impl Stream for CompletionStream {
    type Item = StreamItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StreamItem>> {
        self.items.as_mut().poll_next(context)
    }
}

impl fmt::Debug for CompletionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionStream").finish_non_exhaustive()
    }
}

/// The completions of a [`CompletionStream`], without its notices.
#[derive(Debug)]
pub struct Payloads {
    stream: CompletionStream,
}

impl Stream for Payloads {
    type Item = Completion;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        loop {
            match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                Some(StreamItem::Completion(completion)) => return Poll::Ready(Some(completion)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}
