//! One body under tokio with one thread and several, smol, and futures' thread pool.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::executor::block_on;
use midplane::mailbox::{self, Capacity, Item, Overflow};
use midplane::{Attachment, Backplane, ConnectionId, Event, Local, Target, Timer};

const READERS: usize = 50;
const EVENTS: usize = 200;

/// Readers in tasks of their own, a publisher in another: each reader gets every event in order, is
/// woken when there is something, and ends when its connection is detached.
async fn fan_out_between_tasks<S: Spawn>(spawn: S, timer: Arc<dyn Timer>) {
    let plane: Arc<dyn Backplane> = Arc::new(Local::new());
    let topic = Target::topic("t").unwrap();
    let mut readers = Vec::new();
    for number in 0..READERS {
        let capacity = Capacity {
            messages: EVENTS,
            ..Capacity::default()
        };
        let (sender, mut receiver) = mailbox::channel(capacity, Overflow::DropNewest);
        let id = ConnectionId::new(number.to_string()).unwrap();
        let attachment: Attachment = plane.attach(id, sender.into_sink());
        attachment.associate(&topic).await.unwrap();
        let (done, finished) = oneshot::channel();
        spawn.spawn(async move {
            let (mut next, mut batch) = (0, Vec::new());
            while receiver.batch(&mut batch, 16).await > 0 {
                for item in batch.drain(..) {
                    assert_eq!(item, Item::Event(Event::text(next.to_string())));
                    next += 1;
                }
            }
            done.send(next).unwrap();
        });
        readers.push((attachment, finished));
    }
    let before = timer.now();
    timer.sleep(Duration::from_millis(5)).await;
    assert!(
        timer.now() - before >= Duration::from_millis(5),
        "the timer woke too early"
    );
    let (done, published) = oneshot::channel();
    spawn.spawn(async move {
        for number in 0..EVENTS {
            let receipt = plane.publish(&topic.clone().into(), &Event::text(number.to_string()));
            assert_eq!(receipt.local.accepted, READERS);
        }
        done.send(()).unwrap();
    });
    published.await.unwrap();
    for (attachment, finished) in readers {
        attachment.detach().await;
        assert_eq!(finished.await, Ok(EVENTS));
    }
}

/// Tasks that panic, more of them than any pool has threads, keep no other from running.
async fn a_panicking_task_costs_only_itself<S: Spawn>(spawn: S) {
    for _ in 0..64 {
        spawn.spawn(async { resume_unwind(Box::new("meant, and quiet")) });
    }
    let (done, finished) = oneshot::channel();
    spawn.spawn(async move { done.send(()).unwrap() });
    finished.await.unwrap();
}

trait Spawn {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);
}

macro_rules! executor {
    ($module:ident) => {
        struct Executor;

        impl super::Spawn for Executor {
            fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
                midplane::$module::spawn(future);
            }
        }

        async fn body() {
            super::a_panicking_task_costs_only_itself(Executor).await;
            super::fan_out_between_tasks(Executor, Arc::new(midplane::$module::Timer::new())).await;
        }
    };
}

mod on_tokio {
    use super::*;
    executor!(tokio);

    #[tokio::test]
    async fn with_one_thread() {
        body().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn with_several_threads() {
        body().await;
    }
}

mod on_smol {
    use super::*;
    executor!(smol);

    #[test]
    fn with_its_global_executor() {
        smol::block_on(body());
    }
}

mod on_threads {
    use super::*;
    executor!(threads);

    #[test]
    fn with_no_runtime_at_all() {
        block_on(body());
    }
}
