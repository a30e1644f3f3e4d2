//! The queue against a model, and what is kept of it.

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
