//! A process may be off the processor between any two of its steps.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use midplane::bus::{Bus, BusError, Limits, Link};
use midplane::node::Config;
use midplane::{
    Ask, Audience, Backplane, Cluster, ConnectionId, Instant, Memory, Notice, Target, Timer,
    fresh_node_id,
};
use midplane_testkit::clock::VirtualClock;
use midplane_testkit::local::LocalTasks;

/// For how long the process was off the processor when the next frame came, in milliseconds.
type Lag = Arc<AtomicU64>;

/// Shows the time at which it was read, before the process was off the processor.
struct ReadBefore(VirtualClock, Lag);

impl Timer for ReadBefore {
    fn now(&self) -> Instant {
        let lag = Duration::from_millis(self.1.load(SeqCst));
        Instant::from_origin(self.0.elapsed().saturating_sub(lag))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration).boxed()
    }
}

/// What is read of the clock after a frame has come is right.
#[derive(Debug)]
struct Preempted(Memory, Lag);

#[async_trait]
impl Bus for Preempted {
    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn prefix(&self) -> &str {
        self.0.prefix()
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let Link { transmit, frames } = self.0.connect().await?;
        let lag = self.1.clone();
        let frames = frames.inspect(move |_| lag.store(0, SeqCst)).boxed();
        Ok(Link { transmit, frames })
    }
}

fn node(tasks: &LocalTasks, bus: Arc<dyn Bus>, timer: Arc<dyn Timer>) -> Cluster {
    let id = fresh_node_id().unwrap();
    let (cluster, driver) = Cluster::new(id, bus, timer, Config::default());
    tasks.spawn(driver);
    cluster
}

/// A node is off the processor between the look at its clock and the look at what arrived. The others hear it all the
/// same: a frame that came meanwhile is not taken for one that came before it was sent.
#[test]
fn a_node_that_was_off_the_processor_is_heard() {
    let mut tasks = LocalTasks::new();
    let (bus, lag) = (Memory::new(), Lag::default());
    let timer = ReadBefore(tasks.clock(), lag.clone());
    let preempted = Arc::new(Preempted(bus.clone(), lag.clone()));
    let preempted = node(&tasks, preempted, Arc::new(timer));
    let other = node(&tasks, Arc::new(bus), tasks.timer());
    let silent = Arc::new(Mutex::new(Vec::new()));
    for cluster in [&preempted, &other] {
        let (mut notices, silent) = (cluster.notices(), silent.clone());
        tasks.spawn(async move {
            while let Some(notice) = notices.next().await {
                if matches!(notice, Notice::Silent(_)) {
                    silent.lock().unwrap().push(notice);
                }
            }
        });
    }
    tasks.pass(Duration::from_secs(5));
    lag.store(700, SeqCst);
    let nobody = Audience::from(Target::topic("t").unwrap());
    let nobody = nobody.except(ConnectionId::new("c").unwrap());
    let asker = other.clone();
    let answers = tasks.run(async move { asker.count(&nobody, Duration::from_secs(1)).await });
    assert!(answers.is_complete(), "{answers:?}");
    assert_eq!(lag.load(SeqCst), 0);
    tasks.pass(Duration::from_secs(60));
    assert_eq!(*silent.lock().unwrap(), []);
    for cluster in [&preempted, &other] {
        assert_eq!(cluster.status().counters.implausible, 0);
    }
}
