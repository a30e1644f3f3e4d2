//! A handler that blocks its thread, on a runtime with threads to spare.

use std::error::Error;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, Either, select};
use midplane::completions::{
    Attempt, Completion, Execution, Filter, Handled, Handler, Ledger, Listener, ListenerSettings,
    MemoryStore, Namespace, Take,
};
use midplane::{Instant, Runtime, Timer, threads};
use midplane_completions_suite::script::{complete, execution, start};
use midplane_testkit::{eventually, succeeds, until};

/// Blocks the thread of one execution until it is released.
struct Blocking(Mutex<Option<Receiver<()>>>);

#[async_trait]
impl Handler for Blocking {
    async fn handle(
        &self,
        completion: &Completion,
        _: &Attempt,
    ) -> Result<Handled, Box<dyn Error + Send + Sync>> {
        if completion.execution.as_str() == "blocks" {
            let released = self.0.lock().expect("no panic").take().ok_or("again")?;
            released.recv()?;
        }
        Ok(Handled::Done)
    }
}

/// A runtime with a thread for each task.
#[derive(Debug)]
struct ThreadEach(threads::Timer);

impl Timer for ThreadEach {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

impl Runtime for ThreadEach {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(std::thread::spawn(move || smol::block_on(task)));
    }
}

fn space(name: &str) -> Namespace {
    Namespace::new(name).expect("an id")
}

async fn put(store: &MemoryStore, id: &str, namespace: &str) {
    let wanted = Execution::new(execution(id)).with_namespace(space(namespace));
    start(store, &wanted).await;
    complete(store, id).await;
}

/// Resolves when a lease that begins now has ended.
async fn pass_a_lease(store: &MemoryStore, lease: Duration) {
    let fence = Take::new(1).with_filter(Filter::all().with_namespace(space("fence")));
    for _ in 0..2 {
        until("the lease ends", async || {
            let taken = succeeds("taking", store.take(&fence, lease)).await;
            (!taken.work.is_empty()).then_some(())
        })
        .await;
    }
}

#[test]
fn promise_9_a_handler_that_blocks_its_thread_holds_up_itself_alone() {
    smol::block_on(async {
        let runtime: Arc<dyn Runtime> = Arc::new(ThreadEach(threads::Timer::new()));
        let store = MemoryStore::new(runtime.clone());
        let (release, released) = channel();
        let handler = Arc::new(Blocking(Mutex::new(Some(released))));
        let (backend, ledger) = (Arc::new(store.backend()), Arc::new(store.clone()));
        let listener = Listener::new(backend, ledger, handler, runtime.clone());
        let mut settings = ListenerSettings::default();
        settings.concurrency = 2;
        settings.patience = Duration::from_millis(20);
        settings.lease = Duration::from_secs(1);
        let (handle, running) = listener
            .with_settings(settings)
            .with_filter(Filter::all().with_namespace(space("work")))
            .with_runtime(runtime)
            .start();
        let script = async {
            put(&store, "fence", "fence").await;
            put(&store, "blocks", "work").await;
            eventually("it runs", || handle.status().running == 1).await;
            for number in 0..50 {
                put(&store, &format!("job {number}"), "work").await;
            }
            eventually("the others are handled", || handle.counters().done == 50).await;
            // It took longer than it may, and than its first lease holds.
            pass_a_lease(&store, settings.lease).await;
            let counters = handle.counters();
            assert_eq!((counters.lost, counters.late), (0, 0), "its claim is kept");
            release.send(()).expect("it waits");
            eventually("it is handled", || handle.counters().done == 51).await;
        };
        let Either::Right(_) = select(running, Box::pin(script)).await else {
            panic!("the listener ended");
        };
    });
}
