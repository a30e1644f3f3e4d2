//! One subscription for many consumers.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures::Stream;
use futures::stream::StreamExt;
use futures::task::AtomicWaker;
use lock_api::{Mutex, RawMutex};

use crate::{CompletionStream, Filter, StreamItem};

/// One subscription shared by many consumers, so that they need one connection between them.
///
/// A consumer that is more than `capacity` items behind loses its oldest items, and gets [`StreamItem::Lagged`] with their
/// number; a notice that is lost counts as an item. Nothing is spawned: the consumer that is polled reads from the
/// subscription for all of them. The subscription ends when the shared stream and all its consumers are dropped.
///
/// ```
/// use midplane_completions::{CompletionBackend, Filter, SharedStream, SubscribeError};
///
/// # type Lock = midplane::Lock;
/// async fn three(backend: &dyn CompletionBackend) -> Result<(), SubscribeError> {
///     let shared = SharedStream::<Lock>::new(backend.subscribe_completions().await?, 1_000);
///     let consumers = [(); 3].map(|()| shared.subscribe(Filter::all()));
///     # drop(consumers);
///     Ok(())
/// }
/// ```
pub struct SharedStream<R: RawMutex> {
    hub: Arc<SharedSource<R>>,
    capacity: usize,
}

impl<R: RawMutex + Send + Sync + 'static> SharedStream<R> {
    /// Fans out this subscription. At most `capacity` items wait for each consumer, at least 1.
    #[must_use]
    pub fn new(stream: CompletionStream, capacity: usize) -> Self {
        let consumers = Arc::new(Consumers(Mutex::new(Vec::new())));
        Self {
            hub: Arc::new(SharedSource {
                upstream: Mutex::new(Some(stream)),
                waker: Waker::from(Arc::clone(&consumers)),
                consumers,
            }),
            capacity: capacity.max(1),
        }
    }

    /// Adds a consumer, which gets the completions that match the filter from now on. Notices, such as
    /// [`StreamItem::Resync`], pass every filter.
    #[must_use]
    pub fn subscribe(&self, filter: Filter) -> CompletionStream {
        let consumer = Arc::new(Consumer {
            queue: Mutex::new(ConsumerQueue::default()),
            waker: AtomicWaker::new(),
            filter,
            capacity: self.capacity,
        });
        let mut consumers = self.hub.consumers.0.lock();
        consumers.push(Arc::clone(&consumer));
        drop(consumers);
        CompletionStream::new(ConsumerStream {
            hub: Arc::clone(&self.hub),
            consumer,
        })
    }
}

impl<R: RawMutex> fmt::Debug for SharedStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStream")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

struct SharedSource<R: RawMutex> {
    /// The subscription; `None` once it ended. A consumer that finds it locked does not wait: the consumer that has the
    /// lock wakes all others.
    upstream: Mutex<R, Option<CompletionStream>>,
    consumers: Arc<Consumers<R>>,
    /// Wakes every consumer.
    waker: Waker,
}

struct Consumers<R: RawMutex>(Mutex<R, Vec<Arc<Consumer<R>>>>);

struct Consumer<R: RawMutex> {
    queue: Mutex<R, ConsumerQueue>,
    waker: AtomicWaker,
    filter: Filter,
    capacity: usize,
}

#[derive(Default)]
struct ConsumerQueue {
    items: VecDeque<StreamItem>,
    /// How many items were dropped before the first of `items`.
    lost: u64,
    ended: bool,
}

impl<R: RawMutex> Consumers<R> {
    fn snapshot(&self) -> Vec<Arc<Consumer<R>>> {
        self.0.lock().clone()
    }

    fn wake_all(&self) {
        self.snapshot()
            .iter()
            .for_each(|consumer| consumer.waker.wake());
    }
}

impl<R: RawMutex + Send + Sync> Wake for Consumers<R> {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl<R: RawMutex> Consumer<R> {
    fn push(&self, item: &StreamItem) {
        if matches!(item, StreamItem::Completion(completion) if !self.filter.matches(completion)) {
            return;
        }
        let mut queue = self.queue.lock();
        let dropped = if queue.items.len() == self.capacity {
            queue.items.pop_front()
        } else {
            None
        };
        queue.lost = queue.lost.saturating_add(match dropped {
            None => 0,
            Some(StreamItem::Lagged(lost)) => lost,
            Some(_) => 1,
        });
        queue.items.push_back(item.clone());
    }

    /// The next item; the outer `None` means that none waits.
    fn pop(&self) -> Option<Option<StreamItem>> {
        let mut queue = self.queue.lock();
        if queue.lost > 0 {
            return Some(Some(StreamItem::Lagged(core::mem::take(&mut queue.lost))));
        }
        match queue.items.pop_front() {
            Some(item) => Some(Some(item)),
            None => queue.ended.then_some(None),
        }
    }
}

/// The stream of one consumer.
struct ConsumerStream<R: RawMutex> {
    hub: Arc<SharedSource<R>>,
    consumer: Arc<Consumer<R>>,
}

impl<R: RawMutex> Stream for ConsumerStream<R> {
    type Item = StreamItem;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StreamItem>> {
        let hub = &self.hub;
        self.consumer.waker.register(context.waker());
        if let Some(item) = self.consumer.pop() {
            return Poll::Ready(item);
        }
        let Some(mut upstream) = hub.upstream.try_lock() else {
            return Poll::Pending;
        };
        let mut read_any = false;
        let next = loop {
            // Another consumer may have filled this queue before the lock was taken.
            if let Some(item) = self.consumer.pop() {
                break Poll::Ready(item);
            }
            let polled = match &mut *upstream {
                Some(stream) => stream.poll_next_unpin(&mut Context::from_waker(&hub.waker)),
                None => Poll::Ready(None),
            };
            let members = match polled {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(_) => hub.consumers.snapshot(),
            };
            read_any = true;
            match polled {
                Poll::Ready(Some(item)) => members.iter().for_each(|member| member.push(&item)),
                _ => {
                    *upstream = None;
                    members
                        .iter()
                        .for_each(|member| member.queue.lock().ended = true);
                }
            }
        };
        drop(upstream);
        if read_any {
            hub.consumers.wake_all();
        }
        next
    }
}

impl<R: RawMutex> Drop for ConsumerStream<R> {
    fn drop(&mut self) {
        let mut consumers = self.hub.consumers.0.lock();
        consumers.retain(|other| !Arc::ptr_eq(other, &self.consumer));
        drop(consumers);
        // This consumer may have been the one that was woken to move the subscription on.
        self.hub.consumers.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use core::sync::atomic::{AtomicUsize, Ordering};
    use futures::FutureExt;
    use futures::channel::mpsc;

    use super::*;
    use crate::{Completion, ExecutionId, Outcome, Tag, Timestamp};

    type Shared = SharedStream<midplane::Lock>;

    fn source() -> (mpsc::UnboundedSender<StreamItem>, CompletionStream) {
        let (sender, receiver) = mpsc::unbounded();
        (sender, CompletionStream::new(receiver))
    }

    fn item(number: usize) -> StreamItem {
        let id = ExecutionId::new(format!("{number}")).unwrap();
        StreamItem::Completion(Completion::new(id, Outcome::Success, Timestamp::default()))
    }

    fn next(stream: &mut CompletionStream) -> Option<Option<StreamItem>> {
        stream.next().now_or_never()
    }

    #[test]
    fn promise_9_every_consumer_gets_everything_in_order_and_the_slow_one_learns_what_it_lost() {
        let (sender, stream) = source();
        let shared = Shared::new(stream, 3);
        let (mut quick, mut slow) = (
            shared.subscribe(Filter::all()),
            shared.subscribe(Filter::all()),
        );
        for number in 0..10 {
            sender.unbounded_send(item(number)).unwrap();
            assert_eq!(next(&mut quick), Some(Some(item(number))));
        }
        assert_eq!(next(&mut quick), None);
        assert_eq!(next(&mut slow), Some(Some(StreamItem::Lagged(7))));
        for number in 7..10 {
            assert_eq!(next(&mut slow), Some(Some(item(number))));
        }
        assert_eq!(next(&mut slow), None);
        drop(sender);
        assert_eq!(next(&mut slow), Some(None));
        assert_eq!(next(&mut quick), Some(None));
        assert_eq!(next(&mut shared.subscribe(Filter::all())), Some(None));
    }

    #[test]
    fn promise_9_a_consumers_filter_is_its_own_and_notices_are_for_all() {
        let (sender, stream) = source();
        let shared = Shared::new(stream, 10);
        let mut all = shared.subscribe(Filter::all());
        let mut some = shared.subscribe(Filter::all().with_tag(Tag::new("t").unwrap()));
        sender.unbounded_send(item(0)).unwrap();
        sender.unbounded_send(StreamItem::Resync).unwrap();
        assert_eq!(next(&mut some), Some(Some(StreamItem::Resync)));
        assert_eq!(next(&mut all), Some(Some(item(0))));
        assert_eq!(next(&mut all), Some(Some(StreamItem::Resync)));
    }

    /// Counts how often it is woken.
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn promise_9_a_consumer_that_waits_is_woken_by_one_that_reads_and_by_one_that_leaves() {
        let (sender, stream) = source();
        let shared = Shared::new(stream, 10);
        let (mut first, mut second) = (
            shared.subscribe(Filter::all()),
            shared.subscribe(Filter::all()),
        );
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert!(first.poll_next_unpin(&mut context).is_pending());
        assert_eq!(next(&mut second), None);
        sender.unbounded_send(item(0)).unwrap();
        assert_eq!(
            count.0.load(Ordering::SeqCst),
            1,
            "the source has something"
        );
        assert_eq!(next(&mut second), Some(Some(item(0))));
        assert_eq!(
            first.poll_next_unpin(&mut context),
            Poll::Ready(Some(item(0)))
        );
        assert!(first.poll_next_unpin(&mut context).is_pending());
        let before = count.0.load(Ordering::SeqCst);
        drop(second);
        assert!(
            count.0.load(Ordering::SeqCst) > before,
            "the consumer that may have been woken left"
        );
    }

    #[test]
    fn promise_9_the_subscription_goes_with_the_last_consumer() {
        let (sender, stream) = source();
        let shared = Shared::new(stream, 10);
        let first = shared.subscribe(Filter::all());
        let second = shared.subscribe(Filter::all());
        drop(shared);
        drop(first);
        assert!(!sender.is_closed());
        drop(second);
        assert!(sender.is_closed());
    }
}
