//! Frames in bytes that never change.

use std::time::Duration;

use midplane_core::envelope::{
    Ask, AskedRun, Contact, Departures, Header, Heard, Heartbeat, Introduction, LaneProgress, Left,
    Message, NodeId,
};
use midplane_core::{
    AgreedSettings, Answer, Audience, ConnectionId, Delivered, Event, EventKey, KeyIds, Question,
    Scope, SigningMode, SigningSettings, Target,
};

use crate::publish;

/// Frames of version 1, which this release does not read.
pub(crate) const VERSION_1: [&str; 5] = [
    include_str!("golden/one-text.hex"),
    include_str!("golden/everything.hex"),
    include_str!("golden/heartbeat.hex"),
    include_str!("golden/questions.hex"),
    include_str!("golden/no-messages.hex"),
];

/// What each golden file means. A file is added when the wire grows; none is ever changed.
pub(crate) fn all() -> Vec<(&'static str, &'static str, Header, Vec<Message>)> {
    let header = |lane, first| Header {
        stamp: Duration::from_micros(7_000_001),
        before: Duration::from_secs(2),
        waited: Duration::from_micros(300),
        ..Header::new(NodeId(*b"0123456789abcdef"), lane, first)
    };
    vec![
        (
            "one-text",
            include_str!("golden/2-one-text.hex"),
            header(0, 1),
            vec![publish(
                &[],
                Target::session("s1").unwrap().into(),
                Event::text("hello"),
            )],
        ),
        (
            "everything",
            include_str!("golden/2-everything.hex"),
            header(300, u64::MAX - 2),
            vec![
                publish(
                    &["acme", "eu"],
                    Audience::from(Target::connection("c").unwrap())
                        .or(Target::session("s").unwrap())
                        .or(Target::user("ü").unwrap())
                        .or(Target::org("o").unwrap())
                        .or(Target::agent("a").unwrap())
                        .or(Target::topic("t:1/2").unwrap())
                        .except(ConnectionId::new("me").unwrap())
                        .except(ConnectionId::new("you").unwrap()),
                    Event::binary(vec![0, 255, 1]).keyed(EventKey::new("k").unwrap()),
                ),
                Message::Unknown {
                    kind: 200,
                    body: vec![1, 2, 3].into(),
                },
                publish(&[], Target::topic("t").unwrap().into(), Event::text("")),
            ],
        ),
        (
            "heartbeat",
            include_str!("golden/2-heartbeat.hex"),
            header(0, 500),
            vec![
                Message::Heartbeat(Heartbeat {
                    version: "0.1.0".into(),
                    hello: true,
                    goodbye: true,
                    partial: false,
                    since: Duration::from_secs(1),
                    lanes: vec![progress(0, 499, 3, 400), progress(300, u64::MAX, 6, 0)],
                    heard: vec![Heard {
                        node: NodeId(*b"fedcba9876543210"),
                        stamp: Duration::from_secs(40),
                        ago: Duration::from_millis(3),
                    }],
                    left: vec![Left {
                        node: NodeId([7; 16]),
                        ago: Duration::from_secs(9),
                        lanes: vec![(0, 12, Duration::from_secs(5))],
                    }],
                }),
                Message::Ask(Ask {
                    to: NodeId([9; 16]),
                    runs: vec![AskedRun {
                        lane: 300,
                        first: 4,
                        last: 1_000,
                        after: Duration::from_secs(6),
                    }],
                }),
            ],
        ),
        (
            "questions",
            include_str!("golden/2-questions.hex"),
            header(0, 90),
            questions(),
        ),
        (
            "introduction",
            include_str!("golden/2-introduction.hex"),
            header(0, 7),
            vec![
                Message::Introduction(introduction()),
                Message::Contact(Contact {
                    ready: true,
                    blamed: true,
                    rank: 300,
                    lost: vec![NodeId(*b"fedcba9876543210")],
                    more_lost: true,
                    asks: vec![NodeId([7; 16]); 2],
                }),
                Message::Heartbeat(Heartbeat::default()),
            ],
        ),
        (
            "introduction-signing",
            include_str!("golden/2-introduction-signing.hex"),
            header(0, 7),
            vec![Message::Introduction(Introduction {
                settings: AgreedSettings {
                    signing: Some(SigningSettings {
                        mode: SigningMode::Require,
                        keys: KeyIds::new([7, 9]),
                    }),
                    ..introduction().settings
                },
                ..introduction()
            })],
        ),
        (
            "withdrawn",
            include_str!("golden/2-withdrawn.hex"),
            header(300, 90),
            vec![Message::Withdrawn],
        ),
        (
            "departures",
            include_str!("golden/2-departures.hex"),
            header(0, 7),
            vec![Message::Departures(Departures {
                since: vec![(NodeId([7; 16]), Duration::from_secs(40))],
            })],
        ),
        (
            "no-messages",
            include_str!("golden/2-no-messages.hex"),
            header(7, 0),
            vec![],
        ),
    ]
}

fn introduction() -> Introduction {
    let settings = AgreedSettings {
        lanes: 1_024,
        heartbeat: Duration::from_secs(2),
        time_to_live: Duration::from_secs(30),
        json_lane: true,
        signing: None,
    };
    Introduction {
        name: "web-1:4711".into(),
        cluster: "chat".into(),
        broker: "run 0af3".into(),
        ..Introduction::new(settings)
    }
}

fn progress(lane: u32, last: u64, at: u64, keeps: u64) -> LaneProgress {
    LaneProgress {
        lane,
        last,
        at: Duration::from_secs(at),
        keeps,
        gone: Duration::from_secs(1),
    }
}

pub(crate) fn questions() -> Vec<Message> {
    let audience = Audience::from(Target::user("ada").unwrap())
        .or(Target::org("o").unwrap())
        .except(ConnectionId::new("me").unwrap());
    let room = Target::topic("room").unwrap();
    let event = Event::text("there?").keyed(EventKey::new("k").unwrap());
    let asked = [
        Question::Count(audience.clone()),
        Question::Disconnect(audience.clone()),
        Question::Associate(audience.clone(), room.clone()),
        Question::Dissociate(audience.clone(), room),
        Question::Publish(audience, event),
    ];
    let asked = asked
        .into_iter()
        .zip(1..)
        .map(|(question, id)| Message::Question {
            id,
            scope: Scope::default().child("acme").unwrap(),
            question,
        });
    let mut delivered = Delivered::default();
    (delivered.accepted, delivered.full) = (300, 2);
    (delivered.closed, delivered.panicked) = (1, 0);
    let answered = [Answer::Connections(7), Answer::Delivered(delivered)];
    let answered = answered.map(|answer| Message::Answer {
        to: NodeId(*b"fedcba9876543210"),
        id: u64::MAX,
        answer,
    });
    asked.chain(answered).collect()
}
