//! Forgeries by who can read and write the bus and has no key: under signatures they change nothing, and without they
//! change what SECURITY.md says.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use midplane_core::bus::Signing;
use midplane_core::envelope::{
    Decoded, Frame, FrameWriter, Header, Heard, Heartbeat, LaneProgress, Message, NodeId,
    SIGNATURE, VERSION,
};
use midplane_core::node::News;
use midplane_core::{Answer, Event, Question, Scope, Target};

use crate::history::EventName;
use crate::signed::{keys, nodes, requires};
use crate::wire::{LIMITS, Wire, id, ms, secs};

/// A bus that is listened in to: two nodes, and the newest frame of each that had no event.
struct Tapped {
    wire: Wire,
    newest: [Rc<RefCell<Bytes>>; 2],
}

impl Tapped {
    fn new(signing: &Option<Signing>) -> Self {
        let mut wire = nodes(&[signing.clone(), signing.clone()]);
        let newest: [Rc<RefCell<Bytes>>; 2] = Default::default();
        let kept = newest.clone();
        wire.route(move |frame| {
            if !frame.has_events() {
                *kept[frame.from].borrow_mut() = frame.frame.clone();
            }
            Some(ms(1))
        });
        wire.flow(secs(5), 5, &[(0, 0), (1, 0)]);
        wire.run(secs(1));
        wire.history.assert_all_whole();
        wire.forget();
        Self { wire, newest }
    }

    /// The stamp of the newest frame of a node.
    fn stamp(&self, node: usize) -> Duration {
        match Frame::decode(&self.newest[node].borrow(), LIMITS.frame) {
            Ok(Decoded::Frame(frame)) => frame.header().stamp,
            other => panic!("no frame: {other:?}"),
        }
    }

    /// A frame with this message, in the name of a node.
    fn forge(&self, origin: NodeId, stamp: Duration, first: u64, message: &Message) -> Bytes {
        let header = Header {
            stamp,
            ..Header::new(origin, 0, first)
        };
        let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header");
        writer.push(message).expect("a message");
        writer.finish()
    }

    /// The frame as it is, and with signatures of who has no key: made up, taken from a true frame, of a key or an
    /// algorithm that nobody has.
    fn disguises(&self, frame: &Bytes) -> Vec<Bytes> {
        let newest = self.newest[0].borrow();
        let taken = &newest[newest.len() + 1 - SIGNATURE..];
        let signed = |key: u8, tag: &[u8]| {
            let whole = [&[VERSION, 1, key], &frame[2..], tag].concat();
            Bytes::from(whole)
        };
        vec![
            frame.clone(),
            signed(1, &[0; SIGNATURE - 1]),
            signed(1, taken),
            signed(9, taken),
            signed(129, taken),
        ]
    }
}

/// What the forger sends to node 1, and whether it is to be seen there.
struct Forgery {
    send: fn(&Tapped) -> Vec<Bytes>,
    shows: fn(&Tapped) -> bool,
}

const MADE_UP: NodeId = NodeId([0x66; 16]);

fn now(tapped: &Tapped) -> Duration {
    tapped.wire.clock(0).since_origin()
}

fn event(number: u64) -> Message {
    let name = EventName {
        from: 0,
        lane: 0,
        number,
    };
    Message::Publish {
        scope: Scope::default(),
        audience: Target::topic("t").expect("a topic").into(),
        event: Event::text(name.text()),
    }
}

fn echo(tapped: &Tapped, ago: Duration) -> Heard {
    Heard {
        node: id(1),
        stamp: tapped.stamp(1),
        ago,
    }
}

/// A bus on which node 1 has asked a question.
fn asking(signing: &Option<Signing>) -> Tapped {
    let mut tapped = Tapped::new(signing);
    let topic = Target::topic("t").expect("a topic");
    tapped.wire.ask(1, &Question::Count(topic.into()));
    tapped
}

/// Sent as it is to nodes that do not require signatures it shows. In every disguise to nodes that do it does not, and they
/// go on as if nothing had come.
fn assert_worthless(forgery: &Forgery) {
    for signing in [None, Some(Signing::sign(keys(&[1])))] {
        let mut open = asking(&signing);
        for _ in 0..30 {
            for frame in (forgery.send)(&open) {
                open.wire.inject(1, &frame);
            }
            open.wire.run(ms(100));
        }
        let told = open.wire.told(1);
        assert!((forgery.shows)(&open), "{signing:?}: {told:?}");
    }

    let mut tapped = asking(&requires(&[1]));
    let peers = tapped.wire.peers(1);
    let mut sent = 0;
    for _ in 0..5 {
        for frame in (forgery.send)(&tapped) {
            for disguised in tapped.disguises(&frame) {
                tapped.wire.inject(1, &disguised);
                sent += 1;
            }
        }
        tapped.wire.flow(secs(2), 5, &[(0, 0), (1, 0)]);
        assert!(!(forgery.shows)(&tapped));
    }
    tapped.wire.run(secs(40));
    assert!(!(forgery.shows)(&tapped), "{:?}", tapped.wire.told(1));
    tapped.wire.history.assert_all_whole();
    let told = tapped.wire.told(1).iter();
    let changes: Vec<_> = told
        .filter(|news| !matches!(news, News::Answered { .. }))
        .collect();
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(tapped.wire.peers(1), peers);
    let counters = tapped.wire.counters(1);
    let dropped = (
        counters.unsigned,
        counters.unknown_keys,
        counters.wrong_tags,
    );
    assert_eq!(dropped, (sent / 5, sent * 2 / 5, sent * 2 / 5));
}

#[test]
fn forged_question() {
    assert_worthless(&Forgery {
        send: |tapped| {
            let target = Target::org("o").expect("an org");
            let outsider = Target::connection("c").expect("a connection");
            let question = Question::Associate(outsider.into(), target);
            let question = Message::Question {
                id: 1_000,
                scope: Scope::default(),
                question,
            };
            vec![tapped.forge(id(0), now(tapped), 0, &question)]
        },
        shows: |tapped| {
            let mut told = tapped.wire.told(1).iter();
            told.any(|news| matches!(news, News::Asked { id: 1_000, .. }))
        },
    });
}

#[test]
fn forged_answer() {
    assert_worthless(&Forgery {
        send: |tapped| {
            let answer = Message::Answer {
                to: id(1),
                id: 1,
                answer: Answer::Connections(4_242),
            };
            vec![tapped.forge(id(0), now(tapped), 0, &answer)]
        },
        shows: |tapped| format!("{:?}", tapped.wire.told(1)).contains("4242"),
    });
}

#[test]
fn forged_goodbye() {
    assert_worthless(&Forgery {
        send: |tapped| {
            let goodbye = Message::Heartbeat(Heartbeat {
                goodbye: true,
                ..Heartbeat::default()
            });
            vec![tapped.forge(id(0), now(tapped), 0, &goodbye)]
        },
        shows: |tapped| tapped.wire.told(1).contains(&News::Left(id(0))),
    });
}

/// A heartbeat of a node that there is, with events that it never sent.
#[test]
fn forged_beat() {
    assert_worthless(&Forgery {
        send: |tapped| {
            let beat = Message::Heartbeat(Heartbeat {
                lanes: vec![LaneProgress {
                    lane: 0,
                    last: 1_000,
                    at: now(tapped),
                    keeps: 0,
                    gone: now(tapped),
                }],
                heard: vec![echo(tapped, Duration::ZERO)],
                ..Heartbeat::default()
            });
            vec![tapped.forge(id(0), now(tapped), 0, &beat)]
        },
        shows: |tapped| {
            let wire = &tapped.wire;
            !wire.history.losses(1).is_empty() || wire.counters(1).asks > 0
        },
    });
}

/// A heartbeat of a node that there is, with the latest stamp that may be true: its own are behind it.
#[test]
fn forged_stamp() {
    assert_worthless(&Forgery {
        send: |tapped| {
            let beat = Message::Heartbeat(Heartbeat::default());
            vec![tapped.forge(id(0), now(tapped) + ms(100), 0, &beat)]
        },
        shows: |tapped| !tapped.wire.history.losses(1).is_empty(),
    });
}

/// A heartbeat of a node that there is not, which names what it read.
#[test]
fn forged_echo() {
    assert_worthless(&Forgery {
        send: |tapped| {
            let beat = Message::Heartbeat(Heartbeat {
                heard: vec![echo(tapped, Duration::ZERO)],
                ..Heartbeat::default()
            });
            vec![tapped.forge(MADE_UP, secs(77), 0, &beat)]
        },
        shows: |tapped| tapped.wire.told(1).contains(&News::Joined(MADE_UP)),
    });
}

#[test]
fn forged_event() {
    assert_worthless(&Forgery {
        send: |tapped| vec![tapped.forge(id(0), now(tapped), 26, &event(9_999))],
        shows: |tapped| {
            tapped
                .wire
                .history
                .got(1)
                .iter()
                .any(|got| got.event.number == 9_999)
        },
    });
}
