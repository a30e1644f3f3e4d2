//! Streams that are worse than the store's.

use std::future::ready;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use midplane::Random;
use midplane::completions::{
    Capabilities, CompletionBackend, CompletionStream, Cursor, Filter, StreamItem, SubscribeError,
};

/// What a stream carries of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Everything.
    All,
    /// Half of it, by chance, and it says nothing of the rest.
    Half,
    /// Nothing at all, though it seems to be live.
    Nothing,
}

impl Carries {
    /// The three of them.
    pub const EVERY: [Self; 3] = [Self::All, Self::Half, Self::Nothing];

    /// The backend, with streams that carry so much.
    #[must_use]
    pub fn of(self, backend: Arc<dyn CompletionBackend>) -> Arc<dyn CompletionBackend> {
        match self {
            Self::All => backend,
            carries => Arc::new(Worse { backend, carries }),
        }
    }
}

#[derive(Debug)]
struct Worse {
    backend: Arc<dyn CompletionBackend>,
    carries: Carries,
}

impl Worse {
    fn worsen(&self, stream: CompletionStream) -> CompletionStream {
        if self.carries == Carries::Nothing {
            return CompletionStream::new(stream::pending());
        }
        let mut random = Random::new(7);
        CompletionStream::new(stream.filter(move |item| {
            let lost = matches!(item, StreamItem::Completion(_)) && random.below(2) == 0;
            ready(!lost)
        }))
    }
}

#[async_trait]
impl CompletionBackend for Worse {
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn subscribe_completions(&self) -> Result<CompletionStream, SubscribeError> {
        self.backend
            .subscribe_completions()
            .await
            .map(|stream| self.worsen(stream))
    }

    async fn subscribe_completions_filtered(
        &self,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        self.backend
            .subscribe_completions_filtered(filter)
            .await
            .map(|stream| self.worsen(stream))
    }

    async fn subscribe_from(
        &self,
        cursor: &Cursor,
        filter: &Filter,
    ) -> Result<CompletionStream, SubscribeError> {
        self.backend
            .subscribe_from(cursor, filter)
            .await
            .map(|stream| self.worsen(stream))
    }
}
