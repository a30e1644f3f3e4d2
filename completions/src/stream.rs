//! What a subscription yields.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::BoxStream;

use super::{Completion, Cursor};

/// What comes out of a [`CompletionStream`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An execution finished.
    Completion(Completion),
    /// The connection was lost and the subscription stands again, confirmed by the server: something
    /// before this may have been missed, nothing after it is. A reconciler runs now.
    Resync,
    /// So many completions at most, perhaps not all of them wanted by the filter, were dropped before
    /// this: the listener was too slow, or the history too short. A reconciler runs now.
    Lagged(u64),
    /// The store holds a record that is no completion. It was passed.
    Poison(Poison),
}

/// A record in the store that cannot be read as a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Poison {
    /// Where it is, for the operator to look.
    pub cursor: Cursor,
    /// What is wrong with it.
    pub reason: String,
}

impl Poison {
    /// A record at this place that is wrong in this way.
    #[must_use]
    pub fn new(cursor: Cursor, reason: impl Into<String>) -> Self {
        Self {
            cursor,
            reason: reason.into(),
        }
    }
}

/// A live subscription. It goes on until it is dropped, whatever becomes of the connection; dropping it
/// lets the connection go at once, also in the middle of a wait.
///
/// It does its work when it is polled: nothing is spawned. One that is not polled holds no more than a
/// page, and the backend's history is what waits for it.
pub struct CompletionStream {
    items: BoxStream<'static, Item>,
}

const _: fn() = || {
    fn send_and_unpin<T: Send + Unpin>() {}
    send_and_unpin::<CompletionStream>();
};

impl CompletionStream {
    /// For backends: the subscription that yields these items, which should not end.
    #[must_use]
    pub fn new(items: impl Stream<Item = Item> + Send + 'static) -> Self {
        Self {
            items: Box::pin(items),
        }
    }

    /// The plain view: completions alone, without any notice that some were missed. For a listener that
    /// has a reconciler running on its interval, or none of whose completions matter much.
    #[must_use]
    pub fn payloads(self) -> Payloads {
        Payloads { stream: self }
    }
}

impl Stream for CompletionStream {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.items.as_mut().poll_next(context)
    }
}

impl fmt::Debug for CompletionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionStream").finish_non_exhaustive()
    }
}

/// The completions of a [`CompletionStream`], its notices left out.
#[derive(Debug)]
pub struct Payloads {
    stream: CompletionStream,
}

impl Stream for Payloads {
    type Item = Completion;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        loop {
            match ready!(Pin::new(&mut self.stream).poll_next(context)) {
                Some(Item::Completion(completion)) => return Poll::Ready(Some(completion)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}
