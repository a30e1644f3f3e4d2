use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::client::Arrival;

/// A moment of a story, in seconds.
struct Story {
    start: Instant,
    publications: Vec<Publication>,
    client: Arc<ClientHistory>,
    beyond_window: bool,
}

const TOPICS: [&str; 2] = ["a", "b"];

impl Story {
    /// Three events of one publisher on topic 0, at 1 s, 2 s and 3 s; the client joined at 0 s.
    fn new() -> Self {
        let start = Instant::now();
        let publications = (1..=3).map(|number| Publication {
            key: EventKey {
                publisher: 0,
                topic: 0,
                number,
            },
            called: start + Duration::from_secs(number),
            accepted: Some(true),
        });
        Self {
            start,
            publications: publications.collect(),
            client: Arc::new(ClientHistory::new(1, vec![0], start)),
            beyond_window: false,
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn gets(&self, at: u64, number: u64) {
        let event = json!({ "publisher": 0, "topic": 0, "number": number });
        self.client
            .add(self.at(at), Arrival::Event(event.to_string()));
    }

    fn is_told(&self, at: u64, of: &Value) {
        let mut missed = json!({ "midplane": "missed", "events": 1, "exact": true });
        for (name, value) in of.as_object().expect("fields") {
            missed[name] = value.clone();
        }
        self.client.add(self.at(at), Arrival::Own(missed));
    }

    fn judged(&self) -> Judgement {
        self.judged_without(None)
    }

    fn judged_without(&self, killed: Option<usize>) -> Judgement {
        let span = FaultSpan {
            began: self.start,
            injected: self.start,
            healed: self.at(3),
            killed,
            beyond_window: self.beyond_window,
        };
        let topics = TOPICS.map(str::to_owned);
        let clients = std::slice::from_ref(&self.client);
        let mut judgement = Judgement::of(span, &self.publications, clients, &topics);
        judgement.ready = Some(Duration::ZERO);
        judgement
    }

    /// What is wrong under this promise.
    fn faults(&self, promise: Promise) -> String {
        self.judged().faults(promise).join(", ")
    }
}

#[test]
fn a_client_that_got_everything_once_in_order_is_whole() {
    let story = Story::new();
    for number in 1..=3 {
        story.gets(number + 3, number);
    }
    assert_eq!(story.faults(Promise::Whole), "");
    assert_eq!(story.faults(Promise::Told), "");
    assert_eq!(story.faults(Promise::MissedAndTold), "nothing was missed");
    let judgement = story.judged();
    assert_eq!((judgement.owed, judgement.accepted), (3, 3));
    // The third was published after the fault.
    assert_eq!(judgement.whole, Duration::from_secs(2));
}

#[test]
fn a_loss_in_silence_is_seen() {
    let story = Story::new();
    story.gets(1, 1);
    story.gets(3, 3);
    assert_eq!(story.faults(Promise::Whole), "1 lost, 1 lost in silence");
    assert_eq!(story.faults(Promise::Told), "1 lost in silence");
}

#[test]
fn a_loss_that_is_told_breaks_one_promise_alone() {
    let story = Story::new();
    story.gets(1, 1);
    story.is_told(
        4,
        &json!({ "targets": ["topic:a"], "since_ms_ago": 3000, "until_ms_ago": 1500 }),
    );
    story.gets(5, 3);
    assert_eq!(story.faults(Promise::Whole), "1 lost");
    assert_eq!(story.faults(Promise::Told), "");
    assert_eq!(story.faults(Promise::MissedAndTold), "");
}

#[test]
fn a_loss_after_the_client_was_told_is_not_covered() {
    let story = Story::new();
    story.gets(1, 1);
    story.is_told(2, &json!({}));
    assert_eq!(story.faults(Promise::Told), "1 lost in silence");
}

#[test]
fn a_report_of_another_target_covers_nothing() {
    let story = Story::new();
    story.gets(1, 1);
    story.gets(2, 2);
    story.is_told(4, &json!({ "targets": ["topic:b"] }));
    let wrong = "1 lost in silence, 1 told for nothing";
    assert_eq!(story.faults(Promise::Told), wrong);
}

#[test]
fn a_report_of_another_time_is_for_nothing() {
    let story = Story::new();
    story.gets(1, 1);
    story.gets(2, 2);
    story.is_told(
        20,
        &json!({ "since_ms_ago": 10_000, "until_ms_ago": 9_000 }),
    );
    assert_eq!(story.faults(Promise::Told), "1 told for nothing");
}

#[test]
fn a_client_that_missed_nothing_is_told_for_nothing() {
    let story = Story::new();
    for number in 1..=3 {
        story.gets(number, number);
    }
    story.is_told(4, &json!({}));
    assert_eq!(story.faults(Promise::Whole), "1 told for nothing");
    assert_eq!(story.faults(Promise::Told), "1 told for nothing");
}

#[test]
fn beyond_the_window_a_client_may_be_told_of_anything_in_it_and_that_is_counted() {
    let mut story = Story::new();
    for number in 1..=3 {
        story.gets(number, number);
    }
    let told = |more: Value| {
        let mut told = json!({ "exact": false, "since_ms_ago": 3_000, "until_ms_ago": 2_000 });
        for (name, value) in more.as_object().expect("fields") {
            told[name] = value.clone();
        }
        told
    };
    story.is_told(4, &told(json!({})));
    assert_eq!(story.faults(Promise::Told), "1 told for nothing");
    story.beyond_window = true;
    assert_eq!(story.faults(Promise::Told), "");
    assert_eq!(
        (story.judged().excused, story.judged().most_reports),
        (1, 1)
    );
    // Of a target, of exactly so many, of the time before the outage, of the time long after it, and of no time.
    for (at, other) in [
        (5, told(json!({ "targets": ["topic:a"] }))),
        (5, told(json!({ "exact": true }))),
        (5, told(json!({ "since_ms_ago": 9_000 }))),
        (60, told(json!({}))),
        (5, json!({ "exact": false })),
    ] {
        story.is_told(at, &other);
    }
    assert_eq!(story.faults(Promise::Told), "5 told for nothing");
    assert_eq!(story.judged().excused, 1);
}

#[test]
fn a_client_that_is_told_of_anything_again_and_again_is_not_excused() {
    let mut story = Story::new();
    for number in 1..=3 {
        story.gets(number, number);
    }
    story.beyond_window = true;
    let told = json!({ "exact": false, "since_ms_ago": 3_000, "until_ms_ago": 2_000 });
    for _ in 0..EXCUSED + 2 {
        story.is_told(4, &told);
    }
    assert_eq!(story.faults(Promise::Told), "2 told for nothing");
    let judgement = story.judged();
    assert_eq!(
        (judgement.excused, judgement.most_reports),
        (EXCUSED, EXCUSED + 2)
    );
}

#[test]
fn where_a_server_died_a_client_may_be_told_of_anything_and_its_own_clients_are_owed_nothing() {
    let story = Story::new();
    for number in 1..=3 {
        story.gets(number, number);
    }
    story.is_told(
        4,
        &json!({ "exact": false, "since_ms_ago": 3_000, "until_ms_ago": 2_000 }),
    );
    story.is_told(4, &json!({ "targets": ["topic:a"] }));
    let others = story.judged_without(Some(0));
    assert_eq!((others.excused, others.groundless), (1, 1));
    assert_eq!(story.judged_without(Some(1)).owed, 0);
}

#[test]
fn what_a_server_that_died_had_not_answered_may_be_missed() {
    let mut story = Story::new();
    story.publications[2].accepted = None;
    story.gets(1, 1);
    story.gets(2, 2);
    story.is_told(4, &json!({ "targets": ["topic:a"] }));
    let others = story.judged_without(Some(0));
    assert_eq!((others.lost, others.groundless, others.excused), (0, 0, 0));
}

#[test]
fn what_came_twice_out_of_order_or_from_nowhere_is_seen() {
    let story = Story::new();
    for number in [1, 3, 2, 2] {
        story.gets(4, number);
    }
    let event = json!({ "publisher": 0, "topic": 1, "number": 1 });
    for event in [event.to_string(), "text".to_owned()] {
        story.client.add(story.at(5), Arrival::Event(event));
    }
    let wrong = "1 twice, 1 out of order, 2 foreign";
    assert_eq!(story.faults(Promise::Whole), wrong);
    assert_eq!(story.faults(Promise::Told), wrong);
}

#[test]
fn a_full_mailbox_and_an_end_are_seen() {
    let story = Story::new();
    for number in 1..=3 {
        story.gets(number, number);
    }
    let lost = json!({ "midplane": "lost", "count": 7 });
    story.client.add(story.at(4), Arrival::Own(lost));
    story.client.add(story.at(5), Arrival::End);
    let wrong = "7 dropped by mailboxes, 1 clients cut off";
    assert_eq!(story.faults(Promise::Whole), wrong);
}

#[test]
fn owed_is_what_was_accepted_after_the_client_had_joined() {
    let mut story = Story::new();
    story.publications[1].accepted = Some(false);
    story.publications[2].accepted = None;
    story.gets(1, 1);
    assert_eq!(story.faults(Promise::Whole), "1 refused, 1 not answered");
    let late = ClientHistory::new(1, vec![0], story.at(2));
    story.client = Arc::new(late);
    assert_eq!(story.judged().owed, 0);
}

#[test]
fn servers_that_are_not_ready_are_seen() {
    let story = Story::new();
    let mut judgement = story.judged();
    judgement.ready = None;
    let faults = judgement.faults(Promise::Told);
    assert!(faults.contains(&"not ready".to_owned()), "{faults:?}");
}

#[test]
fn counts_of_several_faults_add_up() {
    let story = Story::new();
    let mut sum = story.judged();
    sum += story.judged();
    assert_eq!((sum.times, sum.owed, sum.lost, sum.losers), (2, 6, 6, 2));
    story.is_told(4, &json!({}));
    sum += story.judged();
    assert_eq!((sum.reports, sum.most_reports), (1, 1));
    let mut never = story.judged();
    never.ready = None;
    sum += never;
    assert_eq!(sum.ready, None);
}
