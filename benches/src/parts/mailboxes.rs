//! Publishing to tasks that receive: mailboxes beside channels.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use benches::{Floor, MEMBERS, MeasuredPlane, Midplane};
use instructions::{event, id, room};
use midplane::mailbox::{self, Capacity, Overflow};
use midplane::{Audience, Backplane, ConnectionId, Event, Verdict};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{self, LocalSet};

use crate::race::{Call, compare};
use crate::report::{Goal, Report};

/// Events that a receiver may be behind.
const BEHIND: usize = 256;

/// The contenders that receive in tasks.
const BROADCAST: &str = "tokio's broadcast";
const OURS: &str = "midplane, a mailbox for each";
const MPSC: &str = "tokio mpsc for each, by the floor";

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
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
fn into_tasks<P: MeasuredPlane + 'static>(
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
