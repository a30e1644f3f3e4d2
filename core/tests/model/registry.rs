//! The registry under test, with sinks that log each call and misbehave in chosen ways.

#[path = "../common/meant.rs"]
mod meant;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use midplane::{
    AssociateError, Attachment, Audience, Backplane, ConnectionId, Event, Local, Reach, Receipt,
    Sink, Target, Verdict,
};

use meant::panic_as_meant;

pub(crate) const CONNECTIONS: usize = 5;
pub(crate) const TARGETS: usize = 6;
/// How deep sinks that publish may nest.
const DEPTH: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Accept,
    Full,
    Close,
    Panic,
    DetachSelf,
    Detach(usize),
    Attach(usize),
    Associate(usize),
    Dissociate(usize),
    Publish(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Attach(usize, Behaviour),
    Associate(usize, usize),
    Dissociate(usize, usize),
    /// Detaches and keeps the dead attachment, so that later steps use it.
    Detach(usize),
    /// Drops the attachment.
    Forget(usize),
    /// Targets from `TARGETS` on are the connections' own.
    Publish {
        targets: Vec<usize>,
        except: Vec<usize>,
    },
}

/// What happened, in order. Each `usize` called `who` names one attachment of one connection.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Attached {
        who: usize,
        id: usize,
    },
    Associated {
        who: usize,
        target: usize,
        outcome: Result<(), AssociateError>,
    },
    Dissociated {
        who: usize,
        target: usize,
        was_in: bool,
    },
    Detached {
        who: usize,
    },
    Begin {
        event: usize,
        targets: Vec<usize>,
        except: Vec<usize>,
    },
    Called {
        event: usize,
        who: usize,
    },
    Said {
        who: usize,
        verdict: Option<Verdict>,
    },
    End {
        event: usize,
        receipt: Receipt,
    },
}

#[derive(Debug)]
pub(crate) struct LoggedRegistry {
    pub(crate) plane: Local,
    pub(crate) log: Mutex<Vec<Entry>>,
    attached: Mutex<HashMap<usize, (usize, Arc<Attachment>)>>,
    next: AtomicUsize,
    depth: AtomicUsize,
}

pub(crate) fn target(number: usize) -> Target {
    match number {
        0 => Target::session("s"),
        1 => Target::user("s"),
        2 => Target::org("o"),
        3 => Target::agent("a"),
        4 => Target::topic("t"),
        5 => Target::topic("session:s"),
        own => Target::connection(format!("c{}", own - TARGETS)),
    }
    .unwrap()
}

fn connection(id: usize) -> ConnectionId {
    ConnectionId::new(format!("c{id}")).unwrap()
}

impl LoggedRegistry {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            plane: Local::new(),
            log: Mutex::default(),
            attached: Mutex::default(),
            next: AtomicUsize::new(0),
            depth: AtomicUsize::new(0),
        })
    }

    pub(crate) fn run(self: &Arc<Self>, step: Step) {
        match step {
            Step::Attach(id, behaviour) => self.attach(id, behaviour),
            Step::Associate(id, target) => self.associate(id, target),
            Step::Dissociate(id, target) => self.dissociate(id, target),
            Step::Detach(id) => self.detach(id),
            Step::Forget(id) => {
                let forgotten = self.attached.lock().unwrap().remove(&id);
                if let Some((who, attachment)) = forgotten {
                    self.write(Entry::Detached { who });
                    drop(attachment);
                }
            }
            Step::Publish { targets, except } => self.publish(targets, except),
        }
    }

    pub(crate) fn detach_all(self: &Arc<Self>) {
        (0..CONNECTIONS).for_each(|id| self.run(Step::Forget(id)));
    }

    pub(crate) fn members(&self, number: usize) -> usize {
        self.plane
            .registry()
            .members(&midplane::Scope::default(), &target(number))
    }

    /// The attachments that are still held, dead or alive, with what each says it is in: by its list,
    /// and by asking for each of all the targets.
    pub(crate) fn held(&self) -> Vec<(usize, [Vec<Target>; 2])> {
        let attached = self.attached.lock().unwrap();
        let views = attached.values().map(|(who, attachment)| {
            let all = (0..TARGETS + CONNECTIONS).map(target);
            let is_in = all.filter(|target| attachment.is_in(target)).collect();
            (*who, [attachment.targets(), is_in])
        });
        views.collect()
    }

    fn write(&self, entry: Entry) {
        self.log.lock().unwrap().push(entry);
    }

    fn held_by(&self, id: usize) -> Option<(usize, Arc<Attachment>)> {
        self.attached.lock().unwrap().get(&id).cloned()
    }

    fn attach(self: &Arc<Self>, id: usize, behaviour: Behaviour) {
        let who = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(Entry::Attached { who, id });
        let logged = Arc::downgrade(self);
        let sink = Sink::new(move |event: &Event| called(&logged, who, id, behaviour, event));
        let attachment = Arc::new(self.plane.attach(connection(id), sink));
        let replaced = self.attached.lock().unwrap().insert(id, (who, attachment));
        drop(replaced);
    }

    fn associate(&self, id: usize, number: usize) {
        if let Some((who, attachment)) = self.held_by(id) {
            let outcome = futures::executor::block_on(attachment.associate(&target(number)));
            let outcome = outcome.map(|reach| assert_eq!(reach, Reach::Everywhere));
            self.write(Entry::Associated {
                who,
                target: number,
                outcome,
            });
        }
    }

    fn dissociate(&self, id: usize, number: usize) {
        if let Some((who, attachment)) = self.held_by(id) {
            let was_in = attachment.dissociate(&target(number));
            self.write(Entry::Dissociated {
                who,
                target: number,
                was_in,
            });
        }
    }

    /// Awaits the detach also inside sinks: there it must not wait.
    fn detach(&self, id: usize) {
        if let Some((who, attachment)) = self.held_by(id) {
            self.write(Entry::Detached { who });
            futures::executor::block_on(attachment.detach());
        }
    }

    fn publish(&self, targets: Vec<usize>, except: Vec<usize>) {
        let event = self.next.fetch_add(1, Ordering::Relaxed);
        let mut audience = Audience::from(target(targets[0]));
        for number in &targets[1..] {
            audience = audience.or(target(*number));
        }
        for id in &except {
            audience = audience.except(connection(*id));
        }
        self.write(Entry::Begin {
            event,
            targets,
            except,
        });
        let receipt = self
            .plane
            .publish(&audience, &Event::text(event.to_string()));
        self.write(Entry::End { event, receipt });
    }
}

fn called(
    logged: &Weak<LoggedRegistry>,
    who: usize,
    id: usize,
    behaviour: Behaviour,
    event: &Event,
) -> Verdict {
    let Some(logged) = logged.upgrade() else {
        return Verdict::Closed;
    };
    let event = event.as_text().unwrap().parse().unwrap();
    logged.write(Entry::Called { event, who });
    let said = |verdict| logged.write(Entry::Said { who, verdict });
    let verdict = match behaviour {
        Behaviour::Full => Verdict::Full,
        Behaviour::Close => Verdict::Closed,
        Behaviour::Panic => {
            said(None);
            panic_as_meant();
        }
        Behaviour::Accept => Verdict::Accepted,
        Behaviour::DetachSelf => {
            logged.detach(id);
            Verdict::Accepted
        }
        Behaviour::Detach(other) => {
            logged.detach(other);
            Verdict::Accepted
        }
        Behaviour::Attach(other) => {
            logged.attach(other, Behaviour::Accept);
            Verdict::Accepted
        }
        Behaviour::Associate(target) => {
            logged.associate(id, target);
            Verdict::Accepted
        }
        Behaviour::Dissociate(target) => {
            logged.dissociate(id, target);
            Verdict::Accepted
        }
        Behaviour::Publish(target) => {
            if logged.depth.fetch_add(1, Ordering::Relaxed) < DEPTH {
                logged.publish(vec![target], Vec::new());
            }
            logged.depth.fetch_sub(1, Ordering::Relaxed);
            Verdict::Accepted
        }
    };
    said(Some(verdict));
    verdict
}
