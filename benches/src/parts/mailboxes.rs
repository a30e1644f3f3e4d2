//! Pushing into mailboxes and draining them, beside a plain queue and channels; and publishing to tasks
//! that receive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::{Contender, Floor, Inboxes, MEMBERS, Midplane, Plane, compare, event, id};
use midplane::mailbox::{self, Capacity, Overflow, Sender};
use midplane::{Audience, Backplane, ConnectionId, Event, Target, Verdict};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{self, LocalSet};

use crate::report::{Goal, Report};

/// Readers, each with a queue of its own.
const READERS: usize = 1_000;

/// Events that wait in each queue before it is drained.
const WAITING: usize = 16;

/// Events that a receiver may be behind.
const BEHIND: usize = 256;

const MAILBOX: &str = "midplane's mailbox, a batch at a time";

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report
        .say("1,000 queues: 16 events into each, one round after the other; then each is drained.");
    for (name, part) in [("push", Part::Push), ("drain", Part::Drain)] {
        report.progress(name);
        let contenders = vec![floor(part), mailbox(part), bounded(part), unbounded(part)];
        report.say(compare(name, "event", contenders));
    }
    report.say(
        "Publish to tasks that receive, all on one thread: so many events, and each is with every task before the \
         next are published. With one at a time most of it is the runtime, which wakes a task for each delivery.",
    );
    for (name, receivers, burst) in [
        ("publish and receive, 1,000 tasks", READERS, 1),
        ("publish and receive 16 at a time, 1,000 tasks", READERS, 16),
        ("publish and receive, 100,000 tasks", MEMBERS, 1),
        (
            "publish and receive 16 at a time, 100,000 tasks",
            MEMBERS,
            16,
        ),
    ] {
        report.progress(name);
        let to = Receivers {
            count: receivers,
            burst,
        };
        let contenders = vec![
            tokio_broadcast(to)?,
            midplane(to)?,
            tokio_mpsc(to)?,
            async_broadcast(to)?,
        ];
        let case = compare(name, "delivery", contenders);
        report.say(&case);
        let [broadcast, midplane, mpsc, _] = case.rows() else {
            unreachable!("there are four");
        };
        let ours = || Goal::new(name, midplane.nanoseconds, "ns");
        report.goal(ours().peer(broadcast.nanoseconds).ratio_at_most(
            midplane.ratio,
            1.0,
            "tokio's broadcast",
        ));
        report.goal(ours().peer(mpsc.nanoseconds).ratio_at_most(
            midplane.ratio / mpsc.ratio,
            0.5,
            "tokio mpsc for each",
        ));
    }
    Ok(())
}

/// How many tasks receive, and how many events are published before each has received all.
#[derive(Clone, Copy)]
struct Receivers {
    count: usize,
    burst: usize,
}

/// Tasks on one thread, and how many events they have received.
struct Tasks {
    runtime: Runtime,
    tasks: LocalSet,
    received: Rc<Cell<usize>>,
}

impl Tasks {
    fn new() -> io::Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().build()?,
            tasks: LocalSet::new(),
            received: Rc::default(),
        })
    }

    /// Times publishing until each of so many has received.
    fn timed(
        self,
        name: &'static str,
        to: Receivers,
        mut publish: impl FnMut() + 'static,
    ) -> Contender<'static> {
        let deliveries = to.count * to.burst;
        Contender::new(name, deliveries, move |times| {
            let start = Instant::now();
            for _ in 0..times {
                self.received.set(0);
                (0..to.burst).for_each(|_| publish());
                let received = self.received.clone();
                self.tasks.block_on(&self.runtime, async move {
                    while received.get() < deliveries {
                        task::yield_now().await;
                    }
                });
            }
            start.elapsed()
        })
    }
}

/// A room of all receivers; `open` makes a task that receives and gives what it receives from.
#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn into_tasks<P: Plane + 'static>(
    name: &'static str,
    to: Receivers,
    attach: impl Fn(&mut P, &Tasks, &ConnectionId),
) -> io::Result<Contender<'static>> {
    let tasks = Tasks::new()?;
    let mut plane = P::empty();
    let room = Target::org("everyone").unwrap();
    for number in 0..to.count {
        attach(&mut plane, &tasks, &id(number));
        plane.join_last(&room);
    }
    let (audience, event) = (Audience::from(room), event());
    Ok(tasks.timed(name, to, move || {
        assert_eq!(plane.publish(&audience, &event), to.count);
    }))
}

fn midplane(to: Receivers) -> io::Result<Contender<'static>> {
    let name = "midplane, a mailbox for each";
    into_tasks(name, to, |midplane: &mut Midplane, tasks, id| {
        let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
        let received = tasks.received.clone();
        tasks.tasks.spawn_local(async move {
            let mut batch = Vec::new();
            while receiver.batch(&mut batch, BEHIND).await > 0 {
                received.set(received.get() + batch.len());
                batch.clear();
            }
        });
        let attachment = midplane.plane.attach(id.clone(), sender.into_sink());
        midplane.attachments.push(attachment);
    })
}

fn tokio_mpsc(to: Receivers) -> io::Result<Contender<'static>> {
    let name = "tokio mpsc for each, by the floor";
    into_tasks(name, to, |floor: &mut Floor, tasks, id| {
        let (sender, mut receiver) = mpsc::channel::<Event>(BEHIND);
        let received = tasks.received.clone();
        tasks.tasks.spawn_local(async move {
            while receiver.recv().await.is_some() {
                received.set(received.get() + 1);
            }
        });
        floor.attach(id, move |event: &Event| {
            match sender.try_send(event.clone()) {
                Ok(()) => Verdict::Accepted,
                Err(_) => Verdict::Full,
            }
        });
    })
}

fn tokio_broadcast(to: Receivers) -> io::Result<Contender<'static>> {
    let tasks = Tasks::new()?;
    let sender = broadcast::Sender::<Event>::new(BEHIND);
    for _ in 0..to.count {
        let (mut receiver, received) = (sender.subscribe(), tasks.received.clone());
        tasks.tasks.spawn_local(async move {
            while receiver.recv().await.is_ok() {
                received.set(received.get() + 1);
            }
        });
    }
    let event = event();
    let publish = move || assert!(sender.send(event.clone()).is_ok());
    Ok(tasks.timed("tokio's broadcast", to, publish))
}

fn async_broadcast(to: Receivers) -> io::Result<Contender<'static>> {
    let tasks = Tasks::new()?;
    let (sender, receiver) = async_broadcast::broadcast::<Event>(BEHIND);
    for _ in 0..to.count {
        let (mut receiver, received) = (receiver.clone(), tasks.received.clone());
        tasks.tasks.spawn_local(async move {
            while receiver.recv().await.is_ok() {
                received.set(received.get() + 1);
            }
        });
    }
    drop(receiver);
    let event = event();
    let publish = move || assert!(sender.try_broadcast(event.clone()).is_ok());
    Ok(tasks.timed("async-broadcast", to, publish))
}

/// Which of the two is timed.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Push,
    Drain,
}

/// Times one part of each round: both are done as often as the other.
fn timed(
    name: &'static str,
    part: Part,
    mut push: impl FnMut(&Event) + 'static,
    mut drain: impl FnMut() -> usize + 'static,
) -> Contender<'static> {
    let event = event();
    Contender::new(name, READERS * WAITING, move |times| {
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let start = Instant::now();
            for _ in 0..WAITING {
                push(&event);
            }
            let pushed = start.elapsed();
            let start = Instant::now();
            let count = drain();
            let drained = start.elapsed();
            assert_eq!(count, READERS * WAITING);
            took += if part == Part::Push { pushed } else { drained };
        }
        took
    })
}

fn floor(part: Part) -> Contender<'static> {
    let queues = vec![VecDeque::<Event>::new(); READERS];
    let queues = Rc::new(RefCell::new(queues));
    let read = queues.clone();
    let mut batch = Vec::new();
    timed(
        "floor: unsynchronised VecDeque",
        part,
        move |event| {
            for queue in queues.borrow_mut().iter_mut() {
                queue.push_back(event.clone());
            }
        },
        move || {
            let mut count = 0;
            for queue in read.borrow_mut().iter_mut() {
                batch.extend(queue.drain(..));
                count += batch.len();
                batch.clear();
            }
            count
        },
    )
}

fn mailbox(part: Part) -> Contender<'static> {
    let mut inboxes = Inboxes::default();
    let senders: Vec<Sender> = (0..READERS).map(|_| inboxes.open()).collect();
    timed(
        MAILBOX,
        part,
        move |event| {
            for sender in &senders {
                sender.push(event);
            }
        },
        move || inboxes.drain(),
    )
}

fn bounded(part: Part) -> Contender<'static> {
    let (senders, mut receivers): (Vec<_>, Vec<_>) =
        (0..READERS).map(|_| mpsc::channel::<Event>(256)).unzip();
    timed(
        "tokio's bounded channel",
        part,
        move |event| {
            for sender in &senders {
                assert!(sender.try_send(event.clone()).is_ok());
            }
        },
        move || {
            let mut count = 0;
            for receiver in &mut receivers {
                while receiver.try_recv().is_ok() {
                    count += 1;
                }
            }
            count
        },
    )
}

fn unbounded(part: Part) -> Contender<'static> {
    let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..READERS)
        .map(|_| mpsc::unbounded_channel::<Event>())
        .unzip();
    timed(
        "tokio's unbounded channel",
        part,
        move |event| {
            for sender in &senders {
                assert!(sender.send(event.clone()).is_ok());
            }
        },
        move || {
            let mut count = 0;
            for receiver in &mut receivers {
                while receiver.try_recv().is_ok() {
                    count += 1;
                }
            }
            count
        },
    )
}
