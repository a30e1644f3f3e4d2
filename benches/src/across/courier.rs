//! A driver of a bus: what one runtime publishes by it, another hears by it.

use std::any::Any;
use std::io;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, try_join_all};

use super::arrivals::Arrivals;
use super::duel::Way;
use super::node::Runtime;
use super::originals::{Envelope, receive};

/// What is done with the bytes that arrive.
pub(crate) type Take = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Publishes so many events.
pub(crate) type Publish = Box<dyn Fn(usize) -> BoxFuture<'static, io::Result<()>>>;

/// A publisher and a subscriber, each a connection on a runtime of its own.
pub(crate) struct Courier {
    publish: Publish,
    arrivals: Arc<Arrivals>,
    here: Runtime,
    /// What keeps the subscription.
    _subscriber: Box<dyn Any>,
    _there: Runtime,
}

impl Courier {
    /// Counts what arrives and does no more. `hear` gives what keeps the subscription.
    pub(crate) fn open<S: 'static>(
        hear: impl FnOnce(&Runtime, Take) -> io::Result<S>,
        publish: impl FnOnce(&Runtime) -> io::Result<Publish>,
    ) -> io::Result<Self> {
        let count = |arrivals: Arc<Arrivals>| -> Take { Box::new(move |_| arrivals.add(1)) };
        Self::of(hear, count, publish)
    }

    /// What was done before: so many tasks, each of which makes JSON of an event and waits until `one` has
    /// published it; one lock around maps at the other end.
    pub(crate) fn originals<S: 'static, F>(
        tasks: usize,
        payload: String,
        hear: impl FnOnce(&Runtime, Take) -> io::Result<S>,
        one: impl FnOnce(&Runtime) -> io::Result<F>,
    ) -> io::Result<Self>
    where
        F: Fn(Vec<u8>) -> BoxFuture<'static, io::Result<()>> + Clone + Send + 'static,
    {
        let take = |arrivals| -> Take { Box::new(receive(arrivals)) };
        Self::of(hear, take, |here| {
            let one = one(here)?;
            Ok(Box::new(move |events| {
                let tasks = tasks.min(events);
                let all = (0..tasks).map(|task| {
                    let (one, payload) = (one.clone(), payload.clone());
                    let events = events / tasks + usize::from(task < events % tasks);
                    async move {
                        for _ in 0..events {
                            one(Envelope::json(&payload)?).await?;
                        }
                        io::Result::Ok(())
                    }
                });
                try_join_all(all).map(|all| all.map(drop)).boxed()
            }))
        })
    }

    fn of<S: 'static>(
        hear: impl FnOnce(&Runtime, Take) -> io::Result<S>,
        take: impl FnOnce(Arc<Arrivals>) -> Take,
        publish: impl FnOnce(&Runtime) -> io::Result<Publish>,
    ) -> io::Result<Self> {
        let (here, there) = (Runtime::start()?, Runtime::start()?);
        let arrivals = Arc::new(Arrivals::new());
        let subscriber = hear(&there, take(arrivals.clone()))?;
        Ok(Self {
            publish: publish(&here)?,
            arrivals,
            here,
            _subscriber: Box::new(subscriber),
            _there: there,
        })
    }
}

impl Way for Courier {
    fn send(&mut self, events: usize) -> io::Result<()> {
        self.here.run((self.publish)(events))?
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }
}
