//! Mailboxes beside a plain queue and channels: pushing and draining, and publishing to tasks that receive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use benches::{Floor, Inboxes, MEMBERS, Midplane, Plane};
use instructions::{event, id, room};
use midplane::mailbox::{self, Capacity, Overflow, Sender};
use midplane::{Audience, Backplane, ConnectionId, Event, Verdict};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{self, LocalSet};

use crate::race::{Call, compare};
use crate::report::{Goal, Report};

/// Queues that are pushed into and drained.
const QUEUES: usize = 1_000;

/// Events that wait in each queue before it is drained.
const WAITING: usize = 16;

/// Events that a receiver may be behind.
const BEHIND: usize = 256;

/// The contenders that receive in tasks.
const BROADCAST: &str = "tokio's broadcast";
const OURS: &str = "midplane, a mailbox for each";
const MPSC: &str = "tokio mpsc for each, by the floor";

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report.say(
        "1,000 queues: 16 events are pushed into each, one round after the other; then each is drained.",
    );
    for part in [Part::Push, Part::Drain] {
        let name = match part {
            Part::Push => "push",
            Part::Drain => "drain",
        };
        let contenders = vec![
            ("floor: unsynchronised VecDeque", plain(part)),
            ("midplane's mailbox, a batch at a time", mailboxes(part)),
            ("tokio's bounded channel", bounded(part)),
            ("tokio's unbounded channel", unbounded(part)),
        ];
        compare(report, name, "event", contenders)?;
    }
    report.say(
        "Publish to tasks that receive, all on one thread: a burst of events, and each event is with every task \
         before the next burst. With one event in a burst most of the time is the runtime's, which wakes a task for \
         each delivery.",
    );
    for (name, count, burst) in [
        ("publish and receive, 1,000 tasks", 1_000, 1),
        ("publish and receive 16 at a time, 1,000 tasks", 1_000, 16),
        ("publish and receive, 100,000 tasks", MEMBERS, 1),
        (
            "publish and receive 16 at a time, 100,000 tasks",
            MEMBERS,
            16,
        ),
    ] {
        let to = Receivers { count, burst };
        let contenders = vec![
            (BROADCAST, tokio_broadcast(to)?),
            (OURS, midplane(to)?),
            (MPSC, tokio_mpsc(to)?),
            ("async-broadcast", async_broadcast(to)?),
        ];
        let figures = compare(report, name, "delivery", contenders)?;
        for (peer, bound, of) in [
            (BROADCAST, 1.0, BROADCAST),
            (MPSC, 0.5, "tokio mpsc for each"),
        ] {
            let goal = Goal::new(name, figures.of(OURS), "ns").peer(figures.of(peer));
            report.goal(goal.ratio_at_most(figures.ratio(OURS, peer), bound, of));
        }
    }
    Ok(())
}

/// The number of tasks that receive, and of events that are published before each task has received all.
#[derive(Clone, Copy)]
struct Receivers {
    count: usize,
    burst: usize,
}

/// Tasks on one thread, and the number of events that they received.
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

    /// A task that counts what `receive` receives, until that is nothing.
    fn receive<R: 'static>(
        &self,
        mut receiver: R,
        mut receive: impl AsyncFnMut(&mut R) -> usize + 'static,
    ) {
        let received = self.received.clone();
        self.tasks.spawn_local(async move {
            loop {
                match receive(&mut receiver).await {
                    0 => break,
                    count => received.set(received.get() + count),
                }
            }
        });
    }

    /// Times publishing until every task has received.
    fn timed(self, to: Receivers, mut publish: impl FnMut() + 'static) -> Call<'static> {
        let deliveries = to.count * to.burst;
        Call::repeated(deliveries, move || {
            self.received.set(0);
            (0..to.burst).for_each(|_| publish());
            let received = self.received.clone();
            self.tasks.block_on(&self.runtime, async move {
                while received.get() < deliveries {
                    task::yield_now().await;
                }
            });
        })
    }
}

/// A room of all receivers; `attach` attaches a connection whose task receives.
fn into_tasks<P: Plane + 'static>(
    to: Receivers,
    attach: impl Fn(&mut P, &Tasks, &ConnectionId),
) -> io::Result<Call<'static>> {
    let tasks = Tasks::new()?;
    let mut plane = P::empty();
    for number in 0..to.count {
        attach(&mut plane, &tasks, &id(number));
        plane.join_last(&room());
    }
    let (audience, event) = (Audience::from(room()), event());
    Ok(tasks.timed(to, move || {
        assert_eq!(plane.publish(&audience, &event), to.count);
    }))
}

fn midplane(to: Receivers) -> io::Result<Call<'static>> {
    into_tasks(to, |midplane: &mut Midplane, tasks, id| {
        let (sender, receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
        let mut batch = Vec::new();
        tasks.receive(receiver, async move |receiver| {
            batch.clear();
            receiver.batch(&mut batch, BEHIND).await
        });
        let attachment = midplane.plane.attach(id.clone(), sender.into_sink());
        midplane.attachments.push(attachment);
    })
}

fn tokio_mpsc(to: Receivers) -> io::Result<Call<'static>> {
    into_tasks(to, |floor: &mut Floor, tasks, id| {
        let (sender, receiver) = mpsc::channel::<Event>(BEHIND);
        tasks.receive(receiver, async |receiver| {
            usize::from(receiver.recv().await.is_some())
        });
        floor.attach(id, move |event: &Event| {
            match sender.try_send(event.clone()) {
                Ok(()) => Verdict::Accepted,
                Err(_) => Verdict::Full,
            }
        });
    })
}

fn tokio_broadcast(to: Receivers) -> io::Result<Call<'static>> {
    let tasks = Tasks::new()?;
    let sender = broadcast::Sender::<Event>::new(BEHIND);
    for _ in 0..to.count {
        tasks.receive(sender.subscribe(), async |receiver| {
            usize::from(receiver.recv().await.is_ok())
        });
    }
    let event = event();
    Ok(tasks.timed(to, move || assert!(sender.send(event.clone()).is_ok())))
}

fn async_broadcast(to: Receivers) -> io::Result<Call<'static>> {
    let tasks = Tasks::new()?;
    let (sender, receiver) = async_broadcast::broadcast::<Event>(BEHIND);
    for _ in 0..to.count {
        tasks.receive(receiver.clone(), async |receiver| {
            usize::from(receiver.recv().await.is_ok())
        });
    }
    drop(receiver);
    let event = event();
    Ok(tasks.timed(to, move || {
        assert!(sender.try_broadcast(event.clone()).is_ok());
    }))
}

/// Which of the two is timed.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Push,
    Drain,
}

/// Times one part of each round, which has both: `push` pushes an event into each queue, `drain` empties them all.
fn timed(
    part: Part,
    mut push: impl FnMut(&Event) + 'static,
    mut drain: impl FnMut() -> usize + 'static,
) -> Call<'static> {
    let event = event();
    Call::new(QUEUES * WAITING, move |times| {
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let start = Instant::now();
            (0..WAITING).for_each(|_| push(&event));
            let pushed = start.elapsed();
            let start = Instant::now();
            let count = drain();
            let drained = start.elapsed();
            assert_eq!(count, QUEUES * WAITING);
            took += if part == Part::Push { pushed } else { drained };
        }
        took
    })
}

fn plain(part: Part) -> Call<'static> {
    let queues = Rc::new(RefCell::new(vec![VecDeque::<Event>::new(); QUEUES]));
    let read = queues.clone();
    let mut batch = Vec::new();
    timed(
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

fn mailboxes(part: Part) -> Call<'static> {
    let mut inboxes = Inboxes::default();
    let senders: Vec<Sender> = (0..QUEUES).map(|_| inboxes.open()).collect();
    timed(
        part,
        move |event| {
            for sender in &senders {
                sender.push(event);
            }
        },
        move || inboxes.drain(),
    )
}

fn bounded(part: Part) -> Call<'static> {
    channels(
        part,
        || mpsc::channel::<Event>(BEHIND),
        |sender, event| sender.try_send(event).is_ok(),
        |receiver| receiver.try_recv().is_ok(),
    )
}

fn unbounded(part: Part) -> Call<'static> {
    channels(
        part,
        mpsc::unbounded_channel::<Event>,
        |sender, event| sender.send(event).is_ok(),
        |receiver| receiver.try_recv().is_ok(),
    )
}

/// Channels that send and receive one event at a time.
fn channels<S: 'static, R: 'static>(
    part: Part,
    open: impl Fn() -> (S, R),
    send: impl Fn(&S, Event) -> bool + 'static,
    receive: impl Fn(&mut R) -> bool + 'static,
) -> Call<'static> {
    let (senders, mut receivers): (Vec<S>, Vec<R>) = (0..QUEUES).map(|_| open()).unzip();
    timed(
        part,
        move |event| {
            for sender in &senders {
                assert!(send(sender, event.clone()));
            }
        },
        move || {
            let mut count = 0;
            for receiver in &mut receivers {
                while receive(receiver) {
                    count += 1;
                }
            }
            count
        },
    )
}
