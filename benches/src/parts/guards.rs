//! What the guard behind an awaited detach costs a delivery, beside the other candidates.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use benches::{
    Contender, Floor, Inboxes, MEMBERS, Midplane, Plane, compare, count_only, event, id, per_call,
};
use midplane::{Audience, Event, Target, Verdict};

use crate::report::Report;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    report.say("The same loop under each guard, without a registry around it:");
    for (name, members) in [
        ("one member", 1),
        ("1,000 members", 1_000),
        ("100,000 members", MEMBERS),
    ] {
        report.progress(name);
        let contenders = vec![
            guarded::<FlagAlone>(crowd(members)),
            guarded::<Snapshot>(crowd(members)),
            guarded::<Updates>(crowd(members)),
            guarded::<Quiescence>(crowd(members)),
        ];
        report.say(compare(name, "delivery", contenders));
    }
    let contenders = vec![
        guarded_mailboxes::<FlagAlone>(1_000),
        guarded_mailboxes::<Snapshot>(1_000),
        guarded_mailboxes::<Updates>(1_000),
        guarded_mailboxes::<Quiescence>(1_000),
    ];
    report.say(compare(
        "1,000 members with mailboxes",
        "delivery",
        contenders,
    ));

    report.say("The registry, and the registry with two updates around each sink:");
    for (name, members) in [
        ("one member of a registry", 1),
        ("1,000 members of a registry", 1_000),
        ("100,000 members of a registry", MEMBERS),
    ] {
        report.progress(name);
        let contenders = vec![
            registry::<Floor, _>(Floor::NAME, members, count_only),
            registry::<Midplane, _>(Midplane::NAME, members, count_only),
            registry::<Midplane, _>("midplane and two updates", members, with_updates),
        ];
        report.say(compare(name, "delivery", contenders));
    }
    Ok(())
}

/// A connection as the loops read it.
struct Member<F: ?Sized> {
    closed: AtomicBool,
    running: AtomicUsize,
    sink: F,
}

type Shared = Arc<Member<dyn Fn(&Event) -> Verdict + Send + Sync>>;
type Chunk = Arc<Vec<Shared>>;

/// In chunks of as many members as one pass of the quiescence may take.
const PASS: usize = 64;

fn crowd(members: usize) -> Vec<Chunk> {
    in_chunks((0..members).map(count_only))
}

fn in_chunks<F>(sinks: impl Iterator<Item = F>) -> Vec<Chunk>
where
    F: Fn(&Event) -> Verdict + Send + Sync + 'static,
{
    let mut chunks = Vec::new();
    let mut chunk: Vec<Shared> = Vec::new();
    for sink in sinks {
        if chunk.len() == PASS {
            chunks.push(Arc::new(std::mem::take(&mut chunk)));
        }
        chunk.push(Arc::new(Member {
            closed: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            sink,
        }));
    }
    chunks.push(Arc::new(chunk));
    chunks
}

trait Guard: Default + 'static {
    const NAME: &'static str;

    fn serve(&self, members: &Arc<Vec<Chunk>>, event: &Event) -> usize;
}

/// No guard: a call may run and start after a detach.
#[derive(Default)]
struct FlagAlone;

impl Guard for FlagAlone {
    const NAME: &'static str = "a closed flag alone, which is too weak";

    fn serve(&self, members: &Arc<Vec<Chunk>>, event: &Event) -> usize {
        let mut accepted = 0;
        for member in members.iter().flat_map(|chunk| chunk.iter()) {
            if !member.closed.load(Ordering::Relaxed) && (member.sink)(event) == Verdict::Accepted {
                accepted += 1;
            }
        }
        accepted
    }
}

/// The fan-out holds the snapshot, and with it the connection; the last who holds it ends the detach.
#[derive(Default)]
struct Snapshot;

impl Guard for Snapshot {
    const NAME: &'static str = "the count of the snapshot, as the registry has it";

    fn serve(&self, members: &Arc<Vec<Chunk>>, event: &Event) -> usize {
        let snapshot = members.clone();
        FlagAlone.serve(&snapshot, event)
    }
}

/// Each call is counted at its connection while it runs.
#[derive(Default)]
struct Updates;

impl Guard for Updates {
    const NAME: &'static str = "two atomic updates per delivery";

    fn serve(&self, members: &Arc<Vec<Chunk>>, event: &Event) -> usize {
        let mut accepted = 0;
        for member in members.iter().flat_map(|chunk| chunk.iter()) {
            member.running.fetch_add(1, Ordering::SeqCst);
            if !member.closed.load(Ordering::SeqCst) && (member.sink)(event) == Verdict::Accepted {
                accepted += 1;
            }
            member.running.fetch_sub(1, Ordering::Release);
        }
        accepted
    }
}

/// The thread tells when it begins and ends a pass of at most [`PASS`] calls.
#[derive(Default)]
struct Quiescence {
    inside: AtomicBool,
}

impl Guard for Quiescence {
    const NAME: &'static str = "quiescence per 64 deliveries";

    fn serve(&self, members: &Arc<Vec<Chunk>>, event: &Event) -> usize {
        let mut accepted = 0;
        for chunk in members.iter() {
            self.inside.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            for member in chunk.iter() {
                if !member.closed.load(Ordering::Relaxed)
                    && (member.sink)(event) == Verdict::Accepted
                {
                    accepted += 1;
                }
            }
            self.inside.store(false, Ordering::Release);
        }
        accepted
    }
}

fn guarded<G: Guard>(members: Vec<Chunk>) -> Contender<'static> {
    let count = members.iter().map(|chunk| chunk.len()).sum();
    let (guard, members, event) = (G::default(), Arc::new(members), event());
    Contender::new(
        G::NAME,
        count,
        per_call(move || guard.serve(&members, &event)),
    )
}

fn guarded_mailboxes<G: Guard>(count: usize) -> Contender<'static> {
    let mut inboxes = Inboxes::default();
    let senders: Vec<_> = (0..count).map(|_| inboxes.open()).collect();
    let members = in_chunks(
        senders
            .into_iter()
            .map(|sender| move |event: &Event| sender.push(event)),
    );
    let (guard, members, event) = (G::default(), Arc::new(members), event());
    Contender::new(
        G::NAME,
        count,
        inboxes.per_call(move || guard.serve(&members, &event)),
    )
}

fn with_updates(number: usize) -> impl Fn(&Event) -> Verdict + Send + Sync + 'static {
    let running = AtomicUsize::new(0);
    let sink = count_only(number);
    move |event| {
        running.fetch_add(1, Ordering::SeqCst);
        let verdict = sink(event);
        running.fetch_sub(1, Ordering::Release);
        verdict
    }
}

#[expect(clippy::unwrap_used, reason = "the text is an id")]
fn registry<P, S>(
    name: &'static str,
    members: usize,
    sink: impl Fn(usize) -> S,
) -> Contender<'static>
where
    P: Plane + 'static,
    S: Fn(&Event) -> Verdict + Send + Sync + 'static,
{
    let mut plane = P::empty();
    let room = Target::org("everyone").unwrap();
    for number in 0..members {
        plane.attach(&id(number), sink(number));
        plane.join_last(&room);
    }
    let (audience, event) = (Audience::from(room), event());
    Contender::new(
        name,
        members,
        per_call(move || plane.publish(&audience, &event)),
    )
}
