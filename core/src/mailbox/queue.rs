//! What waits in a mailbox, plain `&mut self`: the bounds and what happens at them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::{Capacity, Counters, Item, Overflow};
use crate::event::Event;
use crate::sink::Verdict;
use crate::target::EventKey;

/// An emptied queue keeps room for this many entries and gives the rest back.
const KEPT: usize = 32;

enum Slot {
    Event(Event),
    /// So many events that stood here were dropped.
    Lost(u64),
    /// An event that a later one of its key replaced. The place stays until it is passed or swept, so
    /// that the numbers in `latest` stay true.
    Superseded,
}

pub(super) struct Queue {
    capacity: Capacity,
    overflow: Overflow,
    slots: VecDeque<Slot>,
    /// The number of the front slot; slots are numbered in a row.
    front: u64,
    control: VecDeque<Event>,
    /// The slot number of the waiting event of each key; used by [`Overflow::KeepLatest`] alone.
    latest: HashMap<EventKey, u64>,
    /// Events in `slots`, and the sum of their sizes.
    events: usize,
    bytes: usize,
    counters: Counters,
    closed: bool,
}

impl Queue {
    pub(super) fn new(capacity: Capacity, overflow: Overflow) -> Self {
        Self {
            capacity,
            overflow,
            slots: VecDeque::new(),
            front: 0,
            control: VecDeque::new(),
            latest: HashMap::new(),
            events: 0,
            bytes: 0,
            counters: Counters::default(),
            closed: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.control.is_empty()
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes nothing more; what waits can still be drained.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Takes nothing more and forgets what waits.
    pub(super) fn clear(&mut self) {
        self.close();
        self.slots = VecDeque::new();
        self.control = VecDeque::new();
        self.latest = HashMap::new();
        self.events = 0;
        self.bytes = 0;
    }

    pub(super) fn push(&mut self, event: &Event) -> Verdict {
        if self.closed {
            return Verdict::Closed;
        }
        let size = event.bytes().len();
        if size > self.capacity.bytes {
            return self.refuse();
        }
        if self.overflow == Overflow::KeepLatest
            && let Some(key) = event.key()
        {
            self.supersede(key);
        }
        while self.events >= self.capacity.messages || self.bytes + size > self.capacity.bytes {
            match self.overflow {
                Overflow::DropOldest | Overflow::KeepLatest => self.drop_oldest(),
                Overflow::DropNewest | Overflow::Disconnect => return self.refuse(),
            }
        }
        if self.overflow == Overflow::KeepLatest
            && let Some(key) = event.key()
        {
            self.latest
                .insert(key.clone(), self.front + self.slots.len() as u64);
        }
        self.slots.push_back(Slot::Event(event.clone()));
        self.events += 1;
        self.bytes += size;
        Verdict::Accepted
    }

    pub(super) fn push_control(&mut self, event: Event) -> Result<(), Event> {
        if self.closed || self.control.len() >= self.capacity.control {
            return Err(event);
        }
        self.control.push_back(event);
        Ok(())
    }

    /// Moves up to `most` items out, control first, and tells how many.
    pub(super) fn drain(&mut self, most: usize, into: &mut Vec<Item>) -> usize {
        let before = into.len();
        let controls = self.control.len().min(most);
        into.extend(self.control.drain(..controls).map(Item::Control));
        while into.len() - before < most {
            let Some(slot) = self.pop() else { break };
            match slot {
                Slot::Event(event) => into.push(Item::Event(event)),
                Slot::Lost(count) => into.push(Item::Lost(count)),
                Slot::Superseded => {}
            }
        }
        if self.slots.is_empty() && self.slots.capacity() > KEPT {
            self.slots.shrink_to(KEPT);
            self.latest.shrink_to(KEPT);
        }
        into.len() - before
    }

    fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        if let Slot::Event(event) = &slot {
            self.events -= 1;
            self.bytes -= event.bytes().len();
            if let Some(key) = event.key()
                && self.latest.get(key) == Some(&self.front)
            {
                self.latest.remove(key);
            }
        }
        self.front += 1;
        Some(slot)
    }

    /// The event that has just come is not taken.
    fn refuse(&mut self) -> Verdict {
        self.counters.dropped += 1;
        if self.overflow == Overflow::Disconnect {
            let lost = self.events as u64 + 1;
            self.counters.dropped += self.events as u64;
            let control = core::mem::take(&mut self.control);
            self.clear();
            self.control = control;
            self.slots.push_back(Slot::Lost(lost));
            return Verdict::Closed;
        }
        match self.slots.back_mut() {
            Some(Slot::Lost(count)) => *count += 1,
            _ => self.slots.push_back(Slot::Lost(1)),
        }
        Verdict::Full
    }

    /// Replaces what stands before the first event that stays by one marker.
    fn drop_oldest(&mut self) {
        let mut lost = 0;
        while let Some(slot) = self.pop() {
            match slot {
                Slot::Event(_) => {
                    self.counters.dropped += 1;
                    lost += 1;
                    break;
                }
                Slot::Lost(count) => lost += count,
                Slot::Superseded => {}
            }
        }
        // At least one slot was popped, so there is a number for the marker.
        self.front -= 1;
        self.slots.push_front(Slot::Lost(lost));
    }

    fn supersede(&mut self, key: &EventKey) {
        let Some(number) = self.latest.remove(key) else {
            return;
        };
        let slot = usize::try_from(number - self.front)
            .ok()
            .and_then(|at| self.slots.get_mut(at));
        if let Some(slot) = slot
            && let Slot::Event(old) = core::mem::replace(slot, Slot::Superseded)
        {
            self.events -= 1;
            self.bytes -= old.bytes().len();
            self.counters.superseded += 1;
        }
        if self.slots.len() > 2 * self.events + KEPT {
            self.sweep();
        }
    }

    /// Takes the superseded places out and numbers the rest again: linear, and at most once per as
    /// many replacements as there are places.
    fn sweep(&mut self) {
        self.slots.retain(|slot| !matches!(slot, Slot::Superseded));
        self.front = 0;
        for (number, slot) in self.slots.iter().enumerate() {
            if let Slot::Event(event) = slot
                && let Some(key) = event.key()
            {
                self.latest.insert(key.clone(), number as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The rules again, over a plain list that is searched from the front every time.
    struct Model {
        capacity: Capacity,
        overflow: Overflow,
        waiting: Vec<Entry>,
        control: Vec<String>,
        closed: bool,
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Entry {
        Event(String, Option<u8>),
        Control(String),
        Lost(u64),
    }

    impl Model {
        fn sizes(&self) -> (usize, usize) {
            self.waiting
                .iter()
                .fold((0, 0), |(count, bytes), entry| match entry {
                    Entry::Event(text, _) => (count + 1, bytes + text.len()),
                    _ => (count, bytes),
                })
        }

        fn push(&mut self, text: &str, key: Option<u8>) -> Verdict {
            if self.closed {
                return Verdict::Closed;
            }
            let over = |model: &Self| {
                let (count, bytes) = model.sizes();
                count + 1 > model.capacity.messages || bytes + text.len() > model.capacity.bytes
            };
            let hopeless = text.len() > self.capacity.bytes;
            if self.overflow == Overflow::KeepLatest && key.is_some() && !hopeless {
                self.waiting
                    .retain(|entry| !matches!(entry, Entry::Event(_, other) if *other == key));
            }
            let sheds = matches!(self.overflow, Overflow::DropOldest | Overflow::KeepLatest);
            while sheds && !hopeless && over(self) {
                let mut lost = 0;
                while let Entry::Lost(count) = self.waiting.remove(0) {
                    lost += count;
                }
                self.waiting.insert(0, Entry::Lost(lost + 1));
            }
            if !over(self) {
                self.waiting.push(Entry::Event(text.into(), key));
                return Verdict::Accepted;
            }
            if self.overflow == Overflow::Disconnect {
                let lost = self.sizes().0 as u64 + 1;
                self.waiting = Vec::from([Entry::Lost(lost)]);
                self.closed = true;
                return Verdict::Closed;
            }
            match self.waiting.last_mut() {
                Some(Entry::Lost(count)) => *count += 1,
                _ => self.waiting.push(Entry::Lost(1)),
            }
            Verdict::Full
        }

        fn drain(&mut self, most: usize) -> Vec<Entry> {
            let controls = self.control.len().min(most);
            let mut out: Vec<Entry> = self.control.drain(..controls).map(Entry::Control).collect();
            let events = self.waiting.len().min(most - out.len());
            out.extend(self.waiting.drain(..events));
            out
        }
    }

    fn view(item: Item) -> Entry {
        let text = |event: &Event| event.as_text().unwrap().into();
        match item {
            Item::Event(event) => Entry::Event(
                text(&event),
                event
                    .key()
                    .map(|key| key.as_str().parse().unwrap_or_default()),
            ),
            Item::Control(event) => Entry::Control(text(&event)),
            Item::Lost(count) => Entry::Lost(count),
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize, Option<u8>),
        Control,
        Drain(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..40_usize, prop::option::of(0..4_u8)).prop_map(|(size, key)| Step::Push(size, key)),
            1 => Just(Step::Control),
            1 => (1..8_usize).prop_map(Step::Drain),
        ]
    }

    fn overflow() -> impl Strategy<Value = Overflow> {
        prop_oneof![
            Just(Overflow::DropOldest),
            Just(Overflow::DropNewest),
            Just(Overflow::KeepLatest),
            Just(Overflow::Disconnect)
        ]
    }

    /// A reader that stands still behind one event while another is replaced again and again.
    #[test]
    fn promise_5_replaced_events_do_not_pile_up() {
        let capacity = Capacity {
            messages: 4,
            ..Capacity::default()
        };
        let mut queue = Queue::new(capacity, Overflow::KeepLatest);
        queue.push(&Event::text("first"));
        for number in 0..1_000 {
            let event = Event::text(format!("{number}")).keyed(EventKey::new("k").unwrap());
            assert_eq!(queue.push(&event), Verdict::Accepted);
            assert!(
                queue.slots.len() <= 3 * 4 + KEPT,
                "{} slots",
                queue.slots.len()
            );
        }
        let mut items = Vec::new();
        queue.drain(usize::MAX, &mut items);
        let items: Vec<Entry> = items.into_iter().map(view).collect();
        assert_eq!(
            items,
            [
                Entry::Event("first".into(), None),
                Entry::Event("999".into(), Some(0))
            ]
        );
    }

    proptest! {
        /// Every policy against the model: verdicts, order, markers, bounds, and counted drops.
        #[test]
        fn promise_5_a_queue_does_what_its_policy_says(
            overflow in overflow(),
            messages in 1..6_usize,
            bytes in 1..80_usize,
            steps in prop::collection::vec(step(), 1..300),
        ) {
            let capacity = Capacity { messages, bytes, control: 2 };
            let mut queue = Queue::new(capacity, overflow);
            let mut model =
                Model { capacity, overflow, waiting: Vec::new(), control: Vec::new(), closed: false };
            let (mut pushed, mut out) = (0_u64, Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(size, key) => {
                        let text = format!("{number:<size$}");
                        let mut event = Event::text(text.clone());
                        if let Some(key) = key {
                            event = event.keyed(EventKey::new(format!("{key}")).unwrap());
                        }
                        pushed += u64::from(!queue.is_closed());
                        prop_assert_eq!(queue.push(&event), model.push(&text, key));
                    }
                    Step::Control => {
                        let text = format!("control {number}");
                        let taken = queue.push_control(Event::text(text.clone())).is_ok();
                        prop_assert_eq!(taken, !model.closed && model.control.len() < 2);
                        if taken {
                            model.control.push(text);
                        }
                    }
                    Step::Drain(most) => {
                        let mut items = Vec::new();
                        queue.drain(most, &mut items);
                        let items: Vec<Entry> = items.into_iter().map(view).collect();
                        prop_assert_eq!(&items, &model.drain(most));
                        out.extend(items);
                    }
                }
                prop_assert!(queue.events <= messages && queue.bytes <= bytes, "over its bounds");
                prop_assert!(queue.slots.len() <= 3 * messages + KEPT, "{} slots", queue.slots.len());
                prop_assert_eq!((queue.events, queue.bytes), model.sizes());
            }
            let mut items = Vec::new();
            queue.drain(usize::MAX, &mut items);
            out.extend(items.into_iter().map(view));
            let (mut events, mut lost) = (0, 0);
            for entry in out {
                match entry {
                    Entry::Event(..) => events += 1,
                    Entry::Lost(count) => lost += count,
                    Entry::Control(_) => {}
                }
            }
            let Counters { dropped, superseded } = queue.counters();
            prop_assert_eq!(lost, dropped, "the markers and the counter disagree");
            prop_assert_eq!(events + dropped + superseded, pushed, "an event is unaccounted for");
            prop_assert_eq!((queue.events, queue.bytes, queue.latest.len()), (0, 0, 0));
        }
    }
}
