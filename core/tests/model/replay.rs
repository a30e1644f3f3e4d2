//! The model: sets, searched from the front, replayed from the log.

use std::collections::BTreeSet;

use midplane::{AssociateError, Target, Verdict};

use crate::registry::{Entry, LoggedRegistry, TARGETS, target};

struct Attached {
    id: usize,
    open: bool,
    targets: BTreeSet<usize>,
}

struct OpenPublish {
    event: usize,
    /// The attachments in the audience when the publish began.
    audience: BTreeSet<usize>,
    called: BTreeSet<usize>,
    said: [usize; 4],
}

#[derive(Default)]
struct Model {
    attached: Vec<Option<Attached>>,
    publishes: Vec<OpenPublish>,
}

/// Replays everything that happened so far and fails where it could not have happened that way.
pub(crate) fn replay(logged: &LoggedRegistry) {
    let mut model = Model::default();
    for entry in logged.log.lock().unwrap().iter() {
        model.apply(entry);
    }
    assert!(model.publishes.is_empty(), "a publish did not return");
    for number in 0..TARGETS {
        let expected = model.members_of(number).count();
        assert_eq!(
            logged.members(number),
            expected,
            "members of {}",
            target(number)
        );
    }
    for (who, targets) in logged.held() {
        let mut expected: Vec<Target> = Vec::new();
        if let Some(one) = model.open(who) {
            expected.push(target(TARGETS + one.id));
            expected.extend(one.targets.iter().map(|number| target(*number)));
        }
        let sorted = |mut targets: Vec<Target>| {
            targets.sort();
            targets
        };
        let expected = sorted(expected);
        let targets = targets.map(sorted);
        assert_eq!(targets, [expected.clone(), expected], "what {who} is in");
    }
}

impl Model {
    fn open(&self, who: usize) -> Option<&Attached> {
        self.attached.get(who)?.as_ref().filter(|one| one.open)
    }

    fn open_mut(&mut self, who: usize) -> Option<&mut Attached> {
        self.attached.get_mut(who)?.as_mut().filter(|one| one.open)
    }

    fn close(&mut self, who: usize) {
        if let Some(one) = self.open_mut(who) {
            one.open = false;
        }
    }

    fn members_of(&self, number: usize) -> impl Iterator<Item = usize> {
        self.attached
            .iter()
            .enumerate()
            .filter_map(move |(who, one)| {
                let one = one.as_ref().filter(|one| one.open)?;
                (one.targets.contains(&number) || number == TARGETS + one.id).then_some(who)
            })
    }

    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Attached { who, id } => {
                for one in self
                    .attached
                    .iter_mut()
                    .flatten()
                    .filter(|one| one.id == *id)
                {
                    one.open = false;
                }
                self.attached.resize_with(*who + 1, || None);
                self.attached[*who] = Some(Attached {
                    id: *id,
                    open: true,
                    targets: BTreeSet::new(),
                });
            }
            Entry::Associated {
                who,
                target,
                outcome,
            } => match self.open_mut(*who) {
                Some(one) => {
                    one.targets.insert(*target);
                    assert_eq!(*outcome, Ok(()));
                }
                None => assert_eq!(*outcome, Err(AssociateError::Detached), "a late associate"),
            },
            Entry::Dissociated {
                who,
                target,
                was_in,
            } => {
                let expected = self
                    .open_mut(*who)
                    .is_some_and(|one| one.targets.remove(target));
                assert_eq!(*was_in, expected, "dissociate");
            }
            Entry::Detached { who } => self.close(*who),
            Entry::Begin {
                event,
                targets,
                except,
            } => {
                let audience = targets
                    .iter()
                    .flat_map(|number| self.members_of(*number))
                    .filter(|who| self.open(*who).is_some_and(|one| !except.contains(&one.id)))
                    .collect();
                self.publishes.push(OpenPublish {
                    event: *event,
                    audience,
                    called: BTreeSet::new(),
                    said: [0; 4],
                });
            }
            Entry::Called { event, who } => {
                assert!(
                    self.open(*who).is_some(),
                    "{who} was called after it was detached"
                );
                let publish = self
                    .publishes
                    .last_mut()
                    .expect("a call outside every publish");
                assert_eq!(publish.event, *event, "calls of two publishes are mixed");
                assert!(
                    publish.audience.contains(who),
                    "{who} is not in the audience"
                );
                assert!(publish.called.insert(*who), "{who} got event {event} twice");
            }
            Entry::Said { who, verdict } => {
                let publish = self
                    .publishes
                    .last_mut()
                    .expect("a verdict outside every publish");
                let (index, stays) = match verdict {
                    Some(Verdict::Accepted) => (0, true),
                    Some(Verdict::Full) => (1, true),
                    Some(Verdict::Closed) => (2, false),
                    None => (3, false),
                };
                publish.said[index] += 1;
                if !stays {
                    self.close(*who);
                }
            }
            Entry::End { event, receipt } => {
                let publish = self.publishes.pop().expect("an end without a begin");
                assert_eq!(publish.event, *event);
                for who in &publish.audience {
                    let missed = self.open(*who).is_some() && !publish.called.contains(who);
                    assert!(!missed, "{who} never got event {event}");
                }
                let local = receipt.local;
                let receipt = [local.accepted, local.full, local.closed, local.panicked];
                assert_eq!(receipt, publish.said, "the receipt of event {event}");
            }
        }
    }
}
