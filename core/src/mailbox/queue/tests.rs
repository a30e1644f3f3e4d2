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
    /// A report, by the number of its events.
    Missed(u64),
}

impl Model {
    fn sizes(&self) -> (usize, usize) {
        self.waiting
            .iter()
            .fold((0, 0), |(count, bytes), entry| match entry {
                Entry::Event(text, _) => (count + 1, bytes + text.len() + PLACE),
                _ => (count, bytes),
            })
    }

    fn push(&mut self, text: &str, key: Option<u8>) -> Verdict {
        if self.closed {
            return Verdict::Closed;
        }
        let over = |model: &Self| {
            let (count, bytes) = model.sizes();
            count + 1 > model.capacity.messages || bytes + text.len() + PLACE > model.capacity.bytes
        };
        let hopeless = text.len() + PLACE > self.capacity.bytes;
        if self.overflow == Overflow::KeepLatest && key.is_some() && !hopeless {
            self.waiting
                .retain(|entry| !matches!(entry, Entry::Event(_, other) if *other == key));
        }
        let sheds = matches!(self.overflow, Overflow::DropOldest | Overflow::KeepLatest);
        while sheds && !hopeless && over(self) {
            let mut entries = self.waiting.iter_mut();
            let oldest = entries.find(|entry| matches!(entry, Entry::Event(..)));
            *oldest.unwrap() = Entry::Lost(1);
        }
        if !over(self) {
            self.waiting.push(Entry::Event(text.into(), key));
            return Verdict::Accepted;
        }
        if self.overflow == Overflow::Disconnect {
            let lost = self.sizes().0 as u64 + 1;
            self.waiting
                .retain(|entry| matches!(entry, Entry::Missed(_)));
            self.waiting.push(Entry::Lost(lost));
            self.closed = true;
            return Verdict::Closed;
        }
        self.waiting.push(Entry::Lost(1));
        Verdict::Full
    }

    /// One loss and one report between two events.
    fn join_markers(&mut self) {
        let mut joined = Vec::new();
        let (mut lost, mut missed) = (0, 0);
        let put = |joined: &mut Vec<Entry>, lost: &mut u64, missed: &mut u64| {
            let loss = (mem::take(lost), Entry::Lost as fn(u64) -> Entry);
            let report = (mem::take(missed), Entry::Missed as fn(u64) -> Entry);
            for (count, entry) in [loss, report] {
                joined.extend((count > 0).then(|| entry(count)));
            }
        };
        for entry in self.waiting.drain(..) {
            match entry {
                Entry::Lost(count) => lost += count,
                Entry::Missed(count) => missed += count,
                event => {
                    put(&mut joined, &mut lost, &mut missed);
                    joined.push(event);
                }
            }
        }
        put(&mut joined, &mut lost, &mut missed);
        self.waiting = joined;
    }

    fn drain(&mut self, most: usize) -> Vec<Entry> {
        self.join_markers();
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
        Item::Missed(missed) => Entry::Missed(missed.events),
    }
}

fn missed(events: u64) -> Missed {
    Missed {
        events,
        ..Missed::NOTHING
    }
}

/// The size of an event that no mailbox here takes.
const OVERSIZE: usize = 1_000;

#[derive(Debug, Clone)]
enum Step {
    Push(usize, Option<u8>),
    Control,
    Missed(u64),
    Drain(usize),
}

/// A quarter of the events is too large for any mailbox here.
fn push(key: impl Strategy<Value = Option<u8>>) -> impl Strategy<Value = Step> {
    let size = prop_oneof![3 => 0..40_usize, 1 => Just(OVERSIZE)];
    (size, key).prop_map(|(size, key)| Step::Push(size, key))
}

/// With a reader, or with none and a key in every event: then nothing but a sweep takes away what
/// replaced events, markers and reports leave between each other.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let read = prop_oneof![
        6 => push(prop::option::of(0..4_u8)),
        1 => Just(Step::Control),
        1 => (1..9_u64).prop_map(Step::Missed),
        1 => (1..8_usize).prop_map(Step::Drain),
    ];
    let unread = prop_oneof![
        3 => push((0..4_u8).prop_map(Some)),
        1 => (1..9_u64).prop_map(Step::Missed),
    ];
    prop_oneof![
        prop::collection::vec(read, 1..300),
        prop::collection::vec(unread, 1..300),
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
    queue.push(&Event::text("first"), usize::MAX, &mut Vec::new());
    for number in 0..1_000 {
        let event = Event::text(format!("{number}")).keyed(EventKey::new("k").unwrap());
        assert_eq!(
            queue.push(&event, usize::MAX, &mut Vec::new()),
            Verdict::Accepted
        );
        assert!(
            queue.slots.len() <= 3 * 4 + SLACK,
            "{} slots",
            queue.slots.len()
        );
    }
    let mut items = Vec::new();
    queue.drain(usize::MAX, usize::MAX, &mut items);
    let items: Vec<Entry> = items.into_iter().map(view).collect();
    assert_eq!(
        items,
        [
            Entry::Event("first".into(), None),
            Entry::Event("999".into(), Some(0))
        ]
    );
}

/// Events that are too large for the mailbox, each followed by a replacement of the one that waits.
#[test]
fn promise_5_markers_do_not_pile_up() {
    let capacity = Capacity {
        bytes: OVERSIZE - 1,
        ..Capacity::default()
    };
    let mut queue = Queue::new(capacity, Overflow::KeepLatest);
    let large = Event::text("x".repeat(OVERSIZE));
    let latest = Event::text("v").keyed(EventKey::new("k").unwrap());
    for _ in 0..1_000 {
        assert_eq!(
            queue.push(&large, usize::MAX, &mut Vec::new()),
            Verdict::Full
        );
        assert_eq!(
            queue.push(&latest, usize::MAX, &mut Vec::new()),
            Verdict::Accepted
        );
        assert!(
            queue.slots.len() <= 3 + SLACK,
            "{} slots",
            queue.slots.len()
        );
    }
    let mut items = Vec::new();
    queue.drain(usize::MAX, usize::MAX, &mut items);
    assert_eq!(items, [Item::Lost(1_000), Item::Event(latest)]);
}

#[test]
fn promise_5_events_without_bytes_are_bounded() {
    let capacity = Capacity {
        messages: usize::MAX,
        bytes: 10 * PLACE,
        ..Capacity::default()
    };
    let mut queue = Queue::new(capacity, Overflow::DropOldest);
    for _ in 0..1_000 {
        let verdict = queue.push(&Event::text(""), usize::MAX, &mut Vec::new());
        assert_eq!(verdict, Verdict::Accepted);
    }
    let mut items = Vec::new();
    assert_eq!(queue.drain(usize::MAX, usize::MAX, &mut items), 1 + 10);
    assert_eq!(items[0], Item::Lost(990));
}

/// No machine has the memory to come near the largest bound, so the sum is put there.
#[test]
fn promise_5_the_largest_bounds_do_not_overflow() {
    let capacity = Capacity {
        messages: usize::MAX,
        bytes: usize::MAX,
        control: usize::MAX,
    };
    let mut queue = Queue::new(capacity, Overflow::DropOldest);
    queue.push(&Event::text("a"), usize::MAX, &mut Vec::new());
    queue.bytes = usize::MAX;
    let b = Event::text("b");
    assert_eq!(
        queue.push(&b, usize::MAX, &mut Vec::new()),
        Verdict::Accepted
    );
    let mut items = Vec::new();
    queue.drain(usize::MAX, usize::MAX, &mut items);
    assert_eq!(items, [Item::Lost(1), Item::Event(b)]);
}

/// Reports between events that are dropped one after the other, and between events that are refused.
#[test]
fn promise_5_reports_do_not_pile_up() {
    for overflow in [
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::KeepLatest,
    ] {
        let capacity = Capacity {
            messages: 4,
            ..Capacity::default()
        };
        let mut queue = Queue::new(capacity, overflow);
        let latest = Event::text("v").keyed(EventKey::new("k").unwrap());
        for event in [Event::text("e"), latest].iter().cycle().take(1_000) {
            queue.push(event, usize::MAX, &mut Vec::new());
            assert_eq!(queue.missed(&missed(1)), Verdict::Accepted);
            assert!(
                queue.slots.len() <= 3 * 4 + SLACK,
                "{} slots",
                queue.slots.len()
            );
        }
        let mut items = Vec::new();
        queue.drain(usize::MAX, usize::MAX, &mut items);
        let reports = items.iter().filter_map(|item| match item {
            Item::Missed(missed) => Some(missed.events),
            _ => None,
        });
        assert_eq!(reports.sum::<u64>(), 1_000, "{overflow:?}");
        assert!(items.len() <= 3 * (4 + 1), "{overflow:?}: {}", items.len());
    }
}

/// A fan-out to very many mailboxes reads both, and a reader's batch is a list of items.
#[test]
fn a_report_makes_no_slot_and_no_item_larger() {
    assert_eq!(size_of::<Slot>(), 16);
    assert_eq!(size_of::<Item>(), 16);
}

proptest! {
    /// Every policy against the model: verdicts, order, markers, bounds, and counted drops.
    #[test]
    fn promise_5_a_queue_does_what_its_policy_says(
        overflow in overflow(),
        messages in 1..6_usize,
        bytes in 1..OVERSIZE,
        steps in steps(),
    ) {
        let capacity = Capacity { messages, bytes, control: 2 };
        let mut queue = Queue::new(capacity, overflow);
        let mut model =
            Model { capacity, overflow, waiting: Vec::new(), control: Vec::new(), closed: false };
        let (mut pushed, mut accepted, mut reported) = (0_u64, 0, 0);
        let (mut removed, mut out) = (Vec::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(size, key) => {
                    let text = format!("{number:<size$}");
                    let mut event = Event::text(text.clone());
                    if let Some(key) = key {
                        event = event.keyed(EventKey::new(format!("{key}")).unwrap());
                    }
                    pushed += u64::from(!queue.is_closed());
                    let verdict = queue.push(&event, usize::MAX, &mut removed);
                    prop_assert_eq!(verdict, model.push(&text, key));
                    accepted += usize::from(verdict == Verdict::Accepted);
                }
                Step::Control => {
                    let text = format!("control {number}");
                    let taken = queue.push_control(Event::text(text.clone())).is_ok();
                    prop_assert_eq!(taken, !model.closed && model.control.len() < 2);
                    if taken {
                        model.control.push(text);
                    }
                }
                Step::Missed(events) => {
                    let verdict = queue.missed(&missed(events));
                    prop_assert_eq!(verdict == Verdict::Accepted, !model.closed);
                    if !model.closed {
                        model.waiting.push(Entry::Missed(events));
                        reported += events;
                    }
                }
                Step::Drain(most) => {
                    let mut items = Vec::new();
                    queue.drain(most, usize::MAX, &mut items);
                    let items: Vec<Entry> = items.into_iter().map(view).collect();
                    prop_assert_eq!(&items, &model.drain(most));
                    out.extend(items);
                }
            }
            prop_assert!(queue.events <= messages && queue.bytes <= bytes, "over its bounds");
            prop_assert!(queue.slots.len() <= 3 * messages + SLACK, "{} slots", queue.slots.len());
            prop_assert_eq!((queue.events, queue.bytes), model.sizes());
        }
        let mut items = Vec::new();
        queue.drain(usize::MAX, usize::MAX, &mut items);
        out.extend(items.into_iter().map(view));
        let (mut events, mut lost, mut missed) = (0_usize, 0, 0);
        for entry in out {
            match entry {
                Entry::Event(..) => events += 1,
                Entry::Lost(count) => lost += count,
                Entry::Missed(count) => missed += count,
                Entry::Control(_) => {}
            }
        }
        let MailboxCounters { dropped, superseded, abandoned } = queue.counters();
        prop_assert_eq!(abandoned, 0);
        prop_assert_eq!(missed, reported, "a report was dropped");
        prop_assert_eq!(lost, dropped, "the markers and the counter disagree");
        prop_assert_eq!(events as u64 + dropped + superseded, pushed, "an event is unaccounted for");
        prop_assert_eq!(events + removed.len(), accepted, "an event was dropped in the queue");
        prop_assert_eq!((queue.events, queue.bytes, queue.seldom().latest.len()), (0, 0, 0));
    }
}
