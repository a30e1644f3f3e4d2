//! The queue of a mailbox, plain `&mut self`: the bounds and what happens at them.
//!
//! A queue is changed under a lock, and dropping an event may run code of the program that made its
//! bytes. So a queue drops none itself: what it removes goes to its caller, who drops it once the lock is released.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::{iter, mem};

use hashbrown::HashMap;

use super::{Capacity, Item, MailboxCounters, Overflow};
use crate::event::Event;
use crate::missed::Missed;
use crate::registry::Verdict;
use crate::target::EventKey;

/// An emptied queue that has room for more entries than this gives it all back. With less kept, a queue
/// that gets 16 events between two drains asks for memory each time, and a push takes twice as long
/// (`report mailboxes` of `benches`).
const KEPT: usize = 16;

/// How many slots there may be beyond three per event before a sweep. One leaves at most two per event
/// and one, for no two markers stand side by side, so the next comes after as many pushes as there
/// are events, and this many more.
const SLACK: usize = 8;

/// The part of a queue that may wait while others go on to fill it at their own pace.
const FILLING: usize = 4;

/// What an event counts beside its bytes: its place in `slots` and in `latest`, each in a table that is
/// grown by doubling. Without it events of no bytes would have no bound.
const PLACE: usize = 64;

/// What an event counts against the bound on bytes. No slice has more than `isize::MAX` bytes, so the
/// sum does not overflow.
fn weight(event: &Event) -> usize {
    event.bytes().len() + PLACE
}

enum Slot {
    Event(Event),
    /// The number of events that stood here and were dropped.
    Lost(u64),
    /// A marker with a report in it. Reports are seldom, and a slot is no larger for them.
    Missed(Box<Marker>),
    /// An event that a later one of its key replaced. The place stays until it is passed or swept, so
    /// that the numbers in `latest` stay true.
    Superseded,
}

impl Slot {
    /// Puts a marker of its own there, or adds to the one that the slot is. False if the slot is no marker.
    fn mark(&mut self, marker: &mut Marker) -> bool {
        match self {
            Self::Lost(lost) => {
                marker.lost += mem::take(lost);
                *self = mem::take(marker).into_slot();
                true
            }
            Self::Missed(there) => {
                there.add(mem::take(marker));
                true
            }
            Self::Event(_) | Self::Superseded => false,
        }
    }
}

/// What the reader gets between two events.
#[derive(Default)]
struct Marker {
    /// The number of events that stood here and were dropped.
    lost: u64,
    /// What may have been missed here.
    missed: Option<Box<Missed>>,
}

impl Marker {
    fn is_empty(&self) -> bool {
        self.lost == 0 && self.missed.is_none()
    }

    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        match (&mut self.missed, other.missed) {
            (Some(missed), Some(other)) => missed.merge(&other),
            (missed @ None, other) => *missed = other,
            (Some(_), None) => {}
        }
    }

    /// Adds what a slot says that holds no event.
    fn add_slot(&mut self, slot: Slot) {
        match slot {
            Slot::Lost(lost) => self.lost += lost,
            Slot::Missed(marker) => self.add(*marker),
            Slot::Event(_) | Slot::Superseded => {}
        }
    }

    fn into_slot(self) -> Slot {
        match self.missed {
            None => Slot::Lost(self.lost),
            Some(_) => Slot::Missed(Box::new(self)),
        }
    }
}

/// A fan-out to very many mailboxes finds each of them cold and waits for every line of memory it reads: what
/// most pushes and drains need is here, the rest behind `seldom`.
pub(super) struct Queue {
    slots: VecDeque<Slot>,
    /// Events in `slots`, and the sum of their weights, which are never above their bounds.
    events: usize,
    bytes: usize,
    capacity: Capacity,
    seldom: Option<Box<Seldom>>,
    overflow: Overflow,
    closed: bool,
}

/// What a queue without losses, keys and control messages never has.
#[derive(Default)]
struct Seldom {
    control: VecDeque<Event>,
    /// The slot number of the waiting event of each key; used by [`Overflow::KeepLatest`] alone.
    latest: HashMap<EventKey, u64>,
    /// The number of the front slot; slots are numbered in a row.
    front: u64,
    counters: MailboxCounters,
}

impl Queue {
    pub(super) fn new(capacity: Capacity, overflow: Overflow) -> Self {
        Self {
            slots: VecDeque::new(),
            events: 0,
            bytes: 0,
            capacity,
            seldom: None,
            overflow,
            closed: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        let seldom = self.seldom.as_ref();
        self.slots.is_empty() && seldom.is_none_or(|seldom| seldom.control.is_empty())
    }

    /// Whether a quarter of what it may hold waits, so that there is not much room for what comes before its reader has a turn.
    pub(super) fn is_filling(&self, most: usize) -> bool {
        let most = most.min(self.capacity.bytes);
        self.events >= self.capacity.messages.div_ceil(FILLING) || self.bytes >= most / FILLING
    }

    pub(super) fn counters(&self) -> MailboxCounters {
        self.seldom
            .as_ref()
            .map_or_else(MailboxCounters::default, |seldom| seldom.counters)
    }

    fn seldom(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// Takes nothing more; what waits can still be drained.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Takes nothing more and gives up what waits.
    pub(super) fn abandon(&mut self, removed: &mut Vec<Event>) {
        self.close();
        let mut abandoned = self.events;
        if let Some(seldom) = &mut self.seldom {
            abandoned += seldom.control.len();
            removed.extend(seldom.control.drain(..));
        }
        if abandoned > 0 {
            self.seldom().counters.abandoned += abandoned as u64;
        }
        self.clear(removed);
    }

    /// Removes everything but the control messages, and gives what the markers said.
    fn clear(&mut self, removed: &mut Vec<Event>) -> Marker {
        let mut marker = Marker::default();
        for slot in self.slots.drain(..) {
            match slot {
                Slot::Event(event) => removed.push(event),
                other => marker.add_slot(other),
            }
        }
        if let Some(seldom) = &mut self.seldom {
            seldom.latest.clear();
        }
        self.events = 0;
        self.bytes = 0;
        self.give_back();
        marker
    }

    /// The bytes of the events that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts an event in, within the capacity and `most` bytes.
    pub(super) fn push(&mut self, event: &Event, most: usize, removed: &mut Vec<Event>) -> Verdict {
        let most = most.min(self.capacity.bytes);
        if self.closed {
            return Verdict::Closed;
        }
        let weight = weight(event);
        if weight > most {
            return self.refuse(removed);
        }
        if self.overflow == Overflow::KeepLatest
            && let Some(key) = event.key()
        {
            self.supersede(key, removed);
        }
        while self.events >= self.capacity.messages || weight > most.saturating_sub(self.bytes) {
            match self.overflow {
                Overflow::DropOldest | Overflow::KeepLatest => self.drop_oldest(removed),
                Overflow::DropNewest | Overflow::Disconnect => return self.refuse(removed),
            }
        }
        if self.overflow == Overflow::KeepLatest
            && let Some(key) = event.key()
        {
            let behind = self.slots.len() as u64;
            let seldom = self.seldom();
            seldom.latest.insert(key.clone(), seldom.front + behind);
        }
        self.slots.push_back(Slot::Event(event.clone()));
        self.events += 1;
        self.bytes += weight;
        Verdict::Accepted
    }

    /// Puts a report behind what waits, in one marker with what already stands there.
    pub(super) fn missed(&mut self, missed: &Missed) -> Verdict {
        if self.closed {
            return Verdict::Closed;
        }
        self.mark(Marker {
            lost: 0,
            missed: Some(Box::new(*missed)),
        });
        Verdict::Accepted
    }

    pub(super) fn push_control(&mut self, event: Event) -> Result<(), Event> {
        let waiting = self
            .seldom
            .as_ref()
            .map_or(0, |seldom| seldom.control.len());
        if self.closed || waiting >= self.capacity.control {
            return Err(event);
        }
        self.seldom().control.push_back(event);
        Ok(())
    }

    /// Moves up to `most` items out, control first, and no more once they have `bytes`, and returns their number.
    pub(super) fn drain(&mut self, most: usize, bytes: usize, into: &mut Vec<Item>) -> usize {
        let before = into.len();
        let mut room = bytes;
        for item in iter::from_fn(|| self.next()).take(most) {
            if let Item::Event(event) | Item::Control(event) = &item {
                room = room.saturating_sub(event.bytes().len());
            }
            into.push(item);
            if room == 0 {
                break;
            }
        }
        self.give_back();
        into.len() - before
    }

    /// Moves the next item out, control first.
    pub(super) fn take(&mut self) -> Option<Item> {
        let item = self.next();
        self.give_back();
        item
    }

    fn next(&mut self) -> Option<Item> {
        let seldom = self.seldom.as_mut();
        let message = seldom.and_then(|seldom| seldom.control.pop_front());
        message.map(Item::Control).or_else(|| self.next_event())
    }

    /// The next event, or all the markers before it as one: the loss first, and then the report.
    fn next_event(&mut self) -> Option<Item> {
        let mut marker = Marker::default();
        while marker.is_empty() || !matches!(self.slots.front(), Some(Slot::Event(_))) {
            match self.pop() {
                Some(Slot::Event(event)) => return Some(Item::Event(event)),
                Some(slot) => marker.add_slot(slot),
                None => break,
            }
        }
        let lost = mem::take(&mut marker.lost);
        if lost == 0 {
            return marker.missed.map(Item::Missed);
        }
        if !marker.is_empty() {
            self.put_back(marker);
        }
        Some(Item::Lost(lost))
    }

    /// Puts a marker where a slot was popped.
    fn put_back(&mut self, marker: Marker) {
        if let Some(seldom) = &mut self.seldom {
            seldom.front -= 1;
        }
        self.slots.push_front(marker.into_slot());
    }

    /// Frees the buffers of what is empty.
    fn give_back(&mut self) {
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            self.slots.shrink_to_fit();
        }
        let Some(seldom) = &mut self.seldom else {
            return;
        };
        if seldom.latest.is_empty() && seldom.latest.capacity() > KEPT {
            seldom.latest.shrink_to_fit();
        }
        if seldom.control.is_empty() && seldom.control.capacity() > KEPT {
            seldom.control.shrink_to_fit();
        }
    }

    fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        if let Slot::Event(event) = &slot {
            self.events -= 1;
            self.bytes -= weight(event);
        }
        if let Some(seldom) = &mut self.seldom {
            if let Slot::Event(event) = &slot
                && let Some(key) = event.key()
                && seldom.latest.get(key) == Some(&seldom.front)
            {
                seldom.latest.remove(key);
            }
            seldom.front += 1;
        }
        Some(slot)
    }

    /// The event that has just come is not taken.
    fn refuse(&mut self, removed: &mut Vec<Event>) -> Verdict {
        self.seldom().counters.dropped += 1;
        if self.overflow == Overflow::Disconnect {
            let others = self.events as u64;
            let lost = others + 1;
            self.seldom().counters.dropped += others;
            self.close();
            let mut marker = self.clear(removed);
            marker.lost += lost;
            self.slots.push_back(marker.into_slot());
            return Verdict::Closed;
        }
        self.mark(Marker {
            lost: 1,
            missed: None,
        });
        Verdict::Full
    }

    /// Adds to the marker at the end, or puts one there.
    fn mark(&mut self, mut marker: Marker) {
        let last = self.slots.back_mut();
        if !last.is_some_and(|last| last.mark(&mut marker)) {
            self.slots.push_back(marker.into_slot());
        }
        self.sweep_if_due();
    }

    /// Replaces what stands before the first event that stays by one marker.
    fn drop_oldest(&mut self, removed: &mut Vec<Event>) {
        // Made here if it was not, so that it counts what is popped. Events wait, or there would be room.
        self.seldom().counters.dropped += 1;
        let mut marker = Marker::default();
        while let Some(slot) = self.pop() {
            match slot {
                Slot::Event(event) => {
                    removed.push(event);
                    marker.lost += 1;
                    break;
                }
                other => marker.add_slot(other),
            }
        }
        // At least one slot was popped, so there is a number for the marker.
        self.put_back(marker);
    }

    fn supersede(&mut self, key: &EventKey, removed: &mut Vec<Event>) {
        let Some(seldom) = &mut self.seldom else {
            return;
        };
        let Some(number) = seldom.latest.remove(key) else {
            return;
        };
        let slot = usize::try_from(number - seldom.front)
            .ok()
            .and_then(|at| self.slots.get_mut(at));
        if let Some(slot) = slot
            && let Slot::Event(old) = mem::replace(slot, Slot::Superseded)
        {
            self.events -= 1;
            self.bytes -= weight(&old);
            self.seldom().counters.superseded += 1;
            removed.push(old);
        }
        self.sweep_if_due();
    }

    fn sweep_if_due(&mut self) {
        if self.slots.len() > 3 * self.events + SLACK {
            self.sweep();
        }
    }

    /// Takes the superseded places out, joins the markers that stood between them, and numbers the
    /// rest again: linear.
    fn sweep(&mut self) {
        self.seldom().front = 0;
        for slot in mem::take(&mut self.slots) {
            match slot {
                Slot::Superseded => {}
                Slot::Event(event) => {
                    if let Some(key) = event.key() {
                        let number = self.slots.len() as u64;
                        self.seldom().latest.insert(key.clone(), number);
                    }
                    self.slots.push_back(Slot::Event(event));
                }
                other => {
                    let mut marker = Marker::default();
                    marker.add_slot(other);
                    let last = self.slots.back_mut();
                    if !last.is_some_and(|last| last.mark(&mut marker)) {
                        self.slots.push_back(marker.into_slot());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
