//! Memory follows the connections down as well as up, and other nodes take what they use. Alone in its file: it counts the
//! process's bytes, so one test runs after the other.

use std::iter;
use std::panic::{panic_any, set_hook};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::executor::block_on;
use midplane::mailbox::{self, Capacity, Overflow};
use midplane::{
    Attachment, Backplane, ConnectionId, Event, EventKey, Local, Sink, Target, Verdict,
};
use midplane_core::bus::{Lane, Limits};
use midplane_core::envelope::{
    Decoded, Frame, FrameWriter, Header, Heard, Heartbeat, Introduction, LaneProgress, Message,
    NodeId,
};
use midplane_core::node::{Config, Intake, MAX_LANES, News, Node};
use midplane_core::{AgreedSettings, Audience, Instant, Scope};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CONNECTIONS: usize = 50_000;

/// What the tables may keep of many connections that have left, for all shards together.
const KEPT: usize = 512 * 1024;

fn attach_many(plane: &Local) -> Vec<Attachment> {
    (0..CONNECTIONS)
        .map(|number| {
            let id = ConnectionId::new(format!("c{number}")).unwrap();
            let attachment = plane.attach(id, Sink::new(|_: &Event| {}));
            for target in [
                Target::session(format!("s{number}")),
                Target::user(format!("u{}", number / 2)),
                Target::org(format!("o{}", number / 1_000)),
                Target::topic("everyone"),
            ] {
                block_on(attachment.associate(&target.unwrap())).unwrap();
            }
            attachment
        })
        .collect()
}

static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn promise_5_memory_returns_to_its_base() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plane = Local::new();
    let base = ALLOCATOR.current_usage();
    for round in 0..3 {
        let attached = attach_many(&plane);
        let full = ALLOCATOR.current_usage() - base;
        assert!(
            full > CONNECTIONS * 100,
            "the connections take {full} bytes, so this measures nothing"
        );
        drop(attached);
        let left = ALLOCATOR.current_usage().saturating_sub(base);
        assert!(left <= KEPT, "round {round}: {left} bytes left of {full}");
    }

    // A reader that stopped reading costs its bounds and no more.
    let (sender, receiver) = mailbox::channel(Capacity::default(), Overflow::DropOldest);
    let base = ALLOCATOR.current_usage();
    for number in 0..20_000 {
        let event = Event::text(format!("{number:8000}"));
        assert_eq!(sender.push(&event), Verdict::Accepted);
    }
    let waiting = ALLOCATOR.current_usage() - base;
    let bound = Capacity::default().bytes + 64 * 1024;
    assert!(
        waiting <= bound,
        "{waiting} bytes wait, the bound is {bound}"
    );
    drop(receiver);
    let left = ALLOCATOR.current_usage().saturating_sub(base);
    assert!(
        left <= 1024,
        "{left} bytes left of a mailbox that nobody reads"
    );

    // One that is read costs nothing while nothing comes, whatever has come before.
    let (sender, mut receiver) = mailbox::channel(Capacity::default(), Overflow::KeepLatest);
    let base = ALLOCATOR.current_usage();
    for number in 0..64 {
        let key = EventKey::new(format!("{number}")).unwrap();
        assert_eq!(sender.push(&Event::text("e").keyed(key)), Verdict::Accepted);
        sender.control(Event::text("c")).unwrap();
    }
    for _ in 0..128 {
        block_on(receiver.next()).unwrap();
    }
    let left = ALLOCATOR.current_usage().saturating_sub(base);
    // What control messages, keys and losses need was made for the first of them, empty tables by now.
    assert!(left <= 128, "{left} bytes left of a mailbox that was read");

    // A sink that panics costs its connection, and what the panic carried is freed.
    set_hook(Box::new(|_| {}));
    let base = ALLOCATOR.current_usage();
    for _ in 0..1_000 {
        let sink = Sink::new(|_: &Event| -> Verdict { panic_any(vec![0_u8; 1024]) });
        let attachment = plane.attach(ConnectionId::new("c").unwrap(), sink);
        let own = Target::connection("c").unwrap();
        assert_eq!(
            plane.publish(&own.into(), &Event::text("e")).local.panicked,
            1
        );
        drop(attachment);
    }
    let left = ALLOCATOR.current_usage().saturating_sub(base);
    assert!(left <= 16 * 1024, "{left} bytes left of 1,000 panics");
}

const LIMITS: Limits = Limits::new(1 << 20);

/// A node that has members on this many of the most lanes there can be.
fn subscriber(lanes: u32, config: Config) -> Node {
    let mut node = Node::new(NodeId([1; 16]), config, LIMITS);
    node.connected(Instant::ZERO);
    for lane in 0..lanes {
        node.subscribed(Instant::ZERO, Lane(lane));
    }
    node
}

/// Anybody who can write to the bus can make up names, and say in each that every lane was used, and goodbye.
#[test]
fn promise_5_made_up_nodes_take_little_together() {
    const NODES: u8 = 16;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config {
        lanes: MAX_LANES,
        ..Config::default()
    };
    let mut node = subscriber(1_024, config);
    let progress = |lane| LaneProgress {
        lane,
        last: 1,
        at: Duration::from_secs(100),
        keeps: 0,
        gone: Duration::ZERO,
    };
    let every: Vec<_> = (0..MAX_LANES).map(progress).collect();
    let now = Instant::from_origin(Duration::from_secs(1));
    let base = ALLOCATOR.current_usage();
    for number in 0..NODES {
        let header = Header {
            stamp: Duration::from_secs(100),
            ..Header::new(NodeId([number | 0x80; 16]), 0, 0)
        };
        let heartbeat = Message::Heartbeat(Heartbeat {
            version: "v".repeat(64),
            goodbye: number % 2 > 0,
            lanes: every.clone(),
            ..Heartbeat::default()
        });
        let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header fits");
        writer.push(&heartbeat).expect("a heartbeat fits");
        node.receive(now, Lane(0), &writer.finish());
        while node.news().is_some() {}
    }
    assert_eq!(node.peers(), usize::from(NODES));
    assert_eq!(node.counters().malformed, 0);
    let taken = ALLOCATOR.current_usage().saturating_sub(base);
    assert!(
        taken <= usize::from(NODES) * 8 * 1024,
        "{taken} bytes are taken"
    );
}

/// What is known of a member is of the lanes that it used, and not of all that this node is subscribed to.
#[test]
fn promise_5_a_member_takes_what_it_used() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config {
        lanes: MAX_LANES,
        time_to_live: Duration::from_secs(2),
        ..Config::default()
    };
    let mut nodes = [
        subscriber(MAX_LANES, config),
        Node::new(NodeId([2; 16]), config, LIMITS),
    ];
    nodes[1].connected(Instant::ZERO);
    let mut now = Instant::ZERO;
    let base = ALLOCATOR.current_usage();
    let intake = Intake::new(MAX_LANES, LIMITS);
    let audience = Target::topic("t").unwrap().into();
    // An event early on, and then longer than a heartbeat's list of lanes goes back.
    while now < Instant::from_origin(Duration::from_secs(30)) {
        now += Duration::from_millis(500);
        if now == Instant::from_origin(Duration::from_secs(5)) {
            let event = intake.publish(now, &Scope::default(), &audience, &Event::text("e"));
            nodes[1].enqueue(event.unwrap());
        }
        for sender in [0, 1] {
            nodes[sender].tick(now);
            while let Some(sent) = nodes[sender].transmit(now) {
                for node in &mut nodes {
                    node.receive(now, sent.lane, &sent.frame);
                    while node.news().is_some() {}
                }
            }
        }
    }
    assert_eq!(nodes[0].members().count(), 1);
    let taken = ALLOCATOR.current_usage().saturating_sub(base);
    assert!(taken <= 64 * 1024, "{taken} bytes are taken");
}

/// What the docs say of `Config::peers`.
#[test]
fn promise_5_members_of_one_lane_take_two_kibibytes_each() {
    const NODES: u16 = 1_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::from_origin(Duration::from_secs(1));
    let mut node = subscriber(1, Config::default());
    node.tick(now);
    let own = node.transmit(now).expect("a hello");
    let Ok(Decoded::Frame(own)) = Frame::decode(&own.frame, LIMITS.frame) else {
        panic!("no frame");
    };
    let named = Heard {
        node: own.header().origin,
        stamp: own.header().stamp,
        ago: Duration::ZERO,
    };
    let introduction = Introduction {
        name: "n".repeat(32),
        cluster: "c".repeat(16),
        broker: "b".repeat(48),
        ..Introduction::new(AgreedSettings {
            lanes: 1,
            heartbeat: Config::default().heartbeat,
            time_to_live: Config::default().time_to_live,
            json_lane: false,
            signing: None,
        })
    };
    let audience: Audience = Target::topic("t").unwrap().into();
    let base = ALLOCATOR.current_usage();
    let mut events = 0;
    for number in 1..=NODES {
        let mut name = [7; 16];
        name[..2].copy_from_slice(&number.to_be_bytes());
        let heartbeat = Heartbeat {
            version: "1.2.3".into(),
            heard: vec![named],
            ..Heartbeat::default()
        };
        let event = Message::Publish {
            scope: Scope::default(),
            audience: audience.clone(),
            event: Event::text("e"),
        };
        let beat = vec![
            Message::Introduction(introduction.clone()),
            Message::Heartbeat(heartbeat),
        ];
        for (first, stamp, messages) in [(0, 200, beat), (1, 201, vec![event])] {
            let header = Header {
                stamp: Duration::from_secs(100) + Duration::from_millis(stamp),
                ..Header::new(NodeId(name), 0, first)
            };
            let mut writer = FrameWriter::new(header, LIMITS.frame).expect("a header fits");
            for message in &messages {
                writer.push(message).expect("a message fits");
            }
            let later = now + Duration::from_millis(stamp);
            node.receive(later, Lane(0), &writer.finish());
            let news = iter::from_fn(|| node.news());
            events += news
                .filter(|news| matches!(news, News::Event { .. }))
                .count();
        }
    }
    assert_eq!(events, usize::from(NODES));
    assert_eq!(node.members().count(), usize::from(NODES));
    let taken = ALLOCATOR.current_usage().saturating_sub(base) / usize::from(NODES);
    assert!((1_024..=2_048).contains(&taken), "{taken} bytes each");
}
