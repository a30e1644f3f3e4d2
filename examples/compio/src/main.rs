//! The README's program on compio, by a runtime that is written by hand: what spawns, a clock, and sleep.
//!
//! ```sh
//! cargo run -p on-compio -- redis://localhost
//! ```
#![expect(clippy::print_stdout, reason = "a program that shows what it gets")]

use std::time::{Duration, Instant};

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, select};
use futures::{FutureExt, StreamExt};
use midplane::{Plane, Runtime, Target, Timer};

/// What a thread asks of the thread that compio runs on: compio's own tasks and timers stay on theirs.
enum Job {
    Run(BoxFuture<'static, ()>),
    Sleep(Duration, oneshot::Sender<()>),
}

#[derive(Debug)]
struct Compio {
    jobs: mpsc::UnboundedSender<Job>,
    /// A clock that also counts while the machine is suspended is better: events that wait grow older meanwhile.
    start: Instant,
}

impl Compio {
    /// The compio runtime that is current.
    fn current() -> Self {
        let (jobs, mut asked) = mpsc::unbounded();
        let working = async move {
            while let Some(job) = asked.next().await {
                match job {
                    Job::Run(task) => compio::runtime::spawn(task).detach(),
                    Job::Sleep(duration, slept) => {
                        compio::runtime::spawn(sleep(duration, slept)).detach();
                    }
                }
            }
        };
        compio::runtime::spawn(working).detach();
        let start = Instant::now();
        Self { jobs, start }
    }
}

/// Sleeps, or ends as soon as nobody waits for that any more.
async fn sleep(duration: Duration, mut slept: oneshot::Sender<()>) {
    select(
        Box::pin(compio::time::sleep(duration)),
        slept.cancellation(),
    )
    .await;
    let _ = slept.send(());
}

impl Timer for Compio {
    fn now(&self) -> midplane::Instant {
        midplane::Instant::from_origin(self.start.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (slept, woken) = oneshot::channel();
        let _ = self.jobs.unbounded_send(Job::Sleep(duration, slept));
        woken.map(drop).boxed()
    }
}

impl Runtime for Compio {
    /// Runs the task on compio's thread. Where compio has ended the task is dropped, and the plane says that its driver is gone.
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let _ = self.jobs.unbounded_send(Job::Run(task));
    }
}

async fn program() -> Result<(), midplane::Error> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "memory:".to_owned());
    let plane = Plane::builder(&url)
        .runtime(Compio::current())
        .connect()
        .await?;
    let mut phone = plane.attach();
    phone.associate(Target::topic("engines")).await?;
    let receipt = plane.publish(Target::topic("engines")?, "it turns");
    assert_eq!(receipt.accepted(), 1);
    while let Some(item) = phone.next().await {
        println!("{item:?}");
    }
    plane.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(compio::runtime::Runtime::new()?.block_on(program())?)
}
