//! One event to every connection of an audience, each once.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashSet;

use super::Registry;
use super::connection::{AsMember, Member, address};
use super::end::ConnectionEnd;
use super::key::KeyRef;
use super::members::Members;
use super::verdict::{Taken, Verdict};
use crate::audience::Audience;
use crate::event::Event;
use crate::host::Host;
use crate::receipt::Delivered;
use crate::target::{Scope, Target};

/// How many members are looked at together before they are served, where the members
/// [are many](Members::are_many): reading what one needs takes as long as reading all where each comes from memory.
const AHEAD: usize = 16;

/// Deliveries that did not happen since the registry was made, by reason.
///
/// The counters wrap at the width of `usize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The sink had no entry.
    pub full: usize,
    /// The sink said its connection was gone.
    pub closed: usize,
    /// The sink, or what it captured when dropped, panicked.
    pub panicked: usize,
}

/// The outcome of one event, and whether a sink that took it [fills](Taken::fills).
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) delivered: Delivered,
    pub(crate) fills: bool,
}

#[derive(Default)]
pub(super) struct DropCounters {
    full: AtomicUsize,
    closed: AtomicUsize,
    panicked: AtomicUsize,
}

impl DropCounters {
    pub(super) fn count_panic(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add(&self, delivered: Delivered) {
        // Nothing is dropped in the common case, and then nothing shared is written.
        for (counter, count) in [
            (&self.full, delivered.full),
            (&self.closed, delivered.closed),
            (&self.panicked, delivered.panicked),
        ] {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

impl<H: Host> Registry<H> {
    /// Calls the sink of every connection in the audience once, and counts what each said.
    ///
    /// It returns when every sink has. Connections that join meanwhile may or may not get the event.
    pub fn deliver(&self, scope: &Scope, audience: &Audience, event: &Event) -> Delivered {
        self.fan_out(scope, audience, event).delivered
    }

    /// [Delivers](Self::deliver), and says what became of the room of the sinks.
    pub(crate) fn fan_out(&self, scope: &Scope, audience: &Audience, event: &Event) -> Tally {
        let mut tally = Tally::default();
        if let Some(target) = audience.single() {
            if let Some(members) = self.snapshot(scope, target) {
                self.serve(&members, event, &mut tally, |_| true);
                self.dispose(members);
            }
        } else {
            self.deliver_to_union(scope, audience, event, &mut tally);
        }
        self.drops.add(tally.delivered);
        tally
    }

    /// Deliveries that did not happen, by reason.
    pub fn drops(&self) -> Drops {
        Drops {
            full: self.drops.full.load(Ordering::Relaxed),
            closed: self.drops.closed.load(Ordering::Relaxed),
            panicked: self.drops.panicked.load(Ordering::Relaxed),
        }
    }

    fn deliver_to_union(
        &self,
        scope: &Scope,
        audience: &Audience,
        event: &Event,
        tally: &mut Tally,
    ) {
        let snapshots = self.snapshots(scope, audience);
        // Who is left out is looked up after the snapshots: a member that lost its id since then is
        // closed already, and the snapshots keep every other's address its own.
        let mut seen: HashSet<usize> = self.excluded(scope, audience).collect();
        let overlap = snapshots.len() > 1;
        for members in &snapshots {
            self.serve(members, event, tally, |member| {
                if overlap {
                    seen.insert(address(member))
                } else {
                    !seen.contains(&address(member))
                }
            });
        }
        self.dispose(snapshots);
    }

    /// The members of every target of the audience, taken before any of them is looked at: a connection that
    /// is replaced meanwhile is closed before its successor can stand in one.
    pub(super) fn snapshots(&self, scope: &Scope, audience: &Audience) -> Vec<Members> {
        // A target named twice counts once: anyone may name it, and each snapshot costs a look at every member.
        let mut targets: Vec<&Target> = audience.targets().collect();
        targets.sort_unstable();
        targets.dedup();
        targets
            .into_iter()
            .filter_map(|target| self.snapshot(scope, target))
            .collect()
    }

    /// The addresses of the connections that the audience leaves out.
    pub(super) fn excluded(
        &self,
        scope: &Scope,
        audience: &Audience,
    ) -> impl Iterator<Item = usize> {
        audience.excluded().iter().filter_map(|id| {
            let key = KeyRef::connection(scope, id);
            let hash = key.hash(&self.hasher);
            self.connection_table(hash)
                .connection(hash, key)
                .map(address)
        })
    }

    fn snapshot(&self, scope: &Scope, target: &Target) -> Option<Members> {
        let key = KeyRef::new(scope, target);
        let hash = key.hash(&self.hasher);
        match target {
            Target::Connection(_) => {
                let member = self.connection_table(hash).connection(hash, key).cloned();
                member.map(Members::One)
            }
            _ => self.target_table(hash).members(hash, key).cloned(),
        }
    }

    /// Calls the sinks that `wanted` lets through, each in turn. A panic costs its own sink only: the
    /// loop is entered again behind it.
    fn serve(
        &self,
        members: &Members,
        event: &Event,
        tally: &mut Tally,
        mut wanted: impl FnMut(&Member) -> bool,
    ) {
        // Bare closures have nothing to look at: most often none of the others has, either.
        let mut pays = members.are_many();
        for mut slice in members.slices() {
            while let (true, Some((ahead, rest))) = (pays, slice.split_at_checked(AHEAD)) {
                pays = ahead
                    .iter()
                    .fold(false, |pays, member| pays | member.warm());
                self.call_each(ahead, tally, &mut wanted, |member| {
                    member.sink().deliver(event)
                });
                slice = rest;
            }
            self.call_each(slice, tally, &mut wanted, |member| {
                member.sink().deliver(event)
            });
        }
    }

    /// Makes a call for each `wanted` member that is still attached. One whose sink is closed, or panics, is detached.
    pub(super) fn call_each<M: AsMember, T: Into<Taken>>(
        &self,
        slice: &[M],
        tally: &mut Tally,
        mut wanted: impl FnMut(&M) -> bool,
        call: impl Fn(&M) -> T,
    ) {
        let mut rest = slice.iter();
        let mut current = None;
        while !rest.as_slice().is_empty() {
            let outcome = H::contain(&mut || {
                for item in rest.by_ref() {
                    let member = item.as_member();
                    current = Some(member);
                    if member.is_closed() || !wanted(item) {
                        continue;
                    }
                    let taken = call(item).into();
                    tally.fills |= taken.fills;
                    match taken.verdict {
                        Verdict::Accepted => tally.delivered.accepted += 1,
                        Verdict::Full => tally.delivered.full += 1,
                        Verdict::Closed => {
                            tally.delivered.closed += 1;
                            self.expel(member, ConnectionEnd::SinkClosed);
                        }
                    }
                }
            });
            if let (Err(_), Some(culprit)) = (outcome, current) {
                tally.delivered.panicked += 1;
                self.expel(culprit, ConnectionEnd::SinkPanicked);
            }
        }
    }
}
