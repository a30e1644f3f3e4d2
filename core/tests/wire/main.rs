//! The wire: golden bytes that never change, round trips, and hostile bytes.

mod golden;
mod signed;

use std::time::Duration;

use midplane_core::envelope::{
    DecodeError, Decoded, EncodeError, Frame, FrameWriter, HEADER, Header, MAX_AUDIENCE, Message,
    NodeId, SIGNATURE,
};
use midplane_core::{
    Audience, ConnectionId, Event, EventKey, Kind, Question, Scope, Target, TooLarge, TooMany,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn frame(bytes: impl Into<Vec<u8>>) -> Result<Decoded, DecodeError> {
    Frame::decode(&bytes.into().into(), LIMIT)
}

fn messages(frame: &Frame) -> Vec<(Option<u64>, Result<Message, DecodeError>)> {
    frame.messages().collect()
}

fn publish(scope: &[&str], audience: Audience, event: Event) -> Message {
    let scope = scope
        .iter()
        .fold(Scope::default(), |scope, label| scope.child(label).unwrap());
    Message::Publish {
        scope,
        audience,
        event,
    }
}

fn encode(header: Header, messages: &[Message]) -> Vec<u8> {
    let mut writer = FrameWriter::new(header, LIMIT).unwrap();
    for message in messages {
        writer.push(message).unwrap();
    }
    assert_eq!(writer.messages(), messages.len());
    writer.finish().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Whether a message of this kind carries an event.
fn is_numbered(message: &Message) -> bool {
    match message {
        Message::Publish { .. } | Message::Withdrawn => true,
        Message::Question { question, .. } => matches!(question, Question::Publish(..)),
        Message::Unknown { kind, .. } => *kind < 128,
        _ => false,
    }
}

#[test]
fn frames_of_version_1_are_of_another_version() {
    for text in golden::VERSION_1 {
        assert_eq!(frame(unhex(text)), Ok(Decoded::UnknownVersion(1)));
    }
}

#[test]
fn golden_frames_decode_to_what_they_always_meant() {
    for (name, text, header, expected) in golden::all() {
        let Ok(Decoded::Frame(decoded)) = frame(unhex(text)) else {
            panic!(
                "{name} is no frame; this release would write {}",
                hex(&encode(header, &expected))
            )
        };
        assert_eq!(*decoded.header(), header, "{name}");
        let mut next = header.first;
        let expected = expected.into_iter().map(|message| {
            let numbered = is_numbered(&message);
            let number = numbered.then_some(next);
            next = next.wrapping_add(u64::from(numbered));
            (number, Ok(message))
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(messages(&decoded), expected, "{name}");
        let numbered = expected.iter().filter(|(number, _)| number.is_some());
        assert_eq!(decoded.numbered(), numbered.count() as u64, "{name}");
    }
}

/// Readers do not need this, for encodings are not canonical; a change of what is written should
/// nevertheless be meant.
#[test]
fn golden_frames_are_what_this_release_writes() {
    for (name, text, header, messages) in golden::all() {
        assert_eq!(hex(&encode(header, &messages)), text.trim(), "{name}");
    }
}

/// A payload that is most of its frame shares the frame's memory; a small one must not keep all of it.
#[test]
fn only_small_payloads_are_copied() {
    let header = Header::new(NodeId([0; 16]), 0, 0);
    let event = |size| {
        let event = Event::text("x".repeat(size));
        publish(&[], Target::topic("t").unwrap().into(), event)
    };
    let bytes = encode(header, &[event(1_000), event(100)]).into();
    let Ok(Decoded::Frame(decoded)) = Frame::decode(&bytes, LIMIT) else {
        panic!("no frame")
    };
    let within = bytes.as_ptr_range();
    let shared: Vec<bool> = messages(&decoded)
        .into_iter()
        .map(|(_, message)| match message {
            Ok(Message::Publish { event, .. }) => within.contains(&event.bytes().as_ptr()),
            other => panic!("no event: {other:?}"),
        })
        .collect();
    assert_eq!(shared, [true, false]);
}

#[test]
fn size_comes_before_version_before_the_rest() {
    let oversize = vec![99; 11];
    assert_eq!(
        Frame::decode(&oversize.into(), 10),
        Err(DecodeError::TooLarge(TooLarge {
            bytes: 11,
            limit: 10
        }))
    );
    assert_eq!(frame([99, 1, 2]), Ok(Decoded::UnknownVersion(99)));
    assert_eq!(frame([]), Err(DecodeError::Truncated));
    assert_eq!(frame([2]), Err(DecodeError::Truncated));
    assert_eq!(frame([2, 0, 5]), Err(DecodeError::Truncated));
    // A lane of more than 32 bits, and one that goes on for ever.
    let header = |lane: &[u8]| [&[2, 0][..], &[7; 16], lane, &[1, 0, 0, 0]].concat();
    assert!(frame(header(&[0xff, 0xff, 0xff, 0xff, 0x0f])).is_ok());
    assert_eq!(
        frame(header(&[0xff, 0xff, 0xff, 0xff, 0x1f])),
        Err(DecodeError::Malformed)
    );
    assert_eq!(frame(header(&[0xff; 9])), Err(DecodeError::Malformed));
}

#[test]
fn unknown_flags_are_ignored() {
    let (_, text, ..) = golden::all().remove(0);
    let mut bytes = unhex(text);
    // All but the one that is known.
    bytes[1] = 0xfe;
    let Ok(Decoded::Frame(decoded)) = frame(bytes) else {
        panic!("no frame")
    };
    assert!(messages(&decoded)[0].1.is_ok());
}

/// A frame of these messages, and before the one at `at` another of these bytes.
fn with_raw(header: Header, messages: &[&Message], at: usize, raw: &[u8]) -> Vec<u8> {
    assert!(raw.len() < 128, "its length needs one byte");
    let start = encode(
        header,
        &messages[..at].iter().copied().cloned().collect::<Vec<_>>(),
    );
    let whole = encode(
        header,
        &messages.iter().copied().cloned().collect::<Vec<_>>(),
    );
    let rest = &whole[start.len()..];
    [&start[..], &[raw.len() as u8], raw, rest].concat()
}

/// What the one message of these bytes is read as.
fn read_raw(raw: &[u8]) -> Result<Message, DecodeError> {
    let header = Header::new(NodeId([0; 16]), 0, 1);
    let Ok(Decoded::Frame(decoded)) = frame(with_raw(header, &[], 0, raw)) else {
        panic!("no frame")
    };
    messages(&decoded).remove(0).1
}

#[test]
fn a_heartbeat_has_a_form() {
    // version "", hello, since 9, lane 0 at 5 since 4 with 2 kept and 3 gone, nobody heard, nobody left
    assert!(read_raw(&[128, 0, 1, 9, 1, 0, 5, 4, 2, 3, 0, 0]).is_ok());
    let long = [&[128, 65][..], &[b'v'; 65], &[0, 0, 0, 0, 0]].concat();
    for (what, raw) in [
        (
            "more kept than used",
            &[128, 0, 1, 9, 1, 0, 5, 4, 6, 3, 0, 0][..],
        ),
        ("more behind it", &[128, 0, 1, 9, 0, 0, 0, 0]),
        (
            "a count that is a lie",
            &[128, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
        ("a version of 65 bytes", &long),
    ] {
        assert_eq!(read_raw(raw), Err(DecodeError::Malformed), "{what}");
    }
}

#[test]
fn an_introduction_has_a_form_and_room_for_more() {
    let texts = |name: &str, more: &[u8]| {
        // The JSON lane, 2 lanes, 7 and 9 us, a name, and neither a cluster nor a broker.
        let head = [132, 1, 2, 7, 9, name.len() as u8];
        [&head[..], name.as_bytes(), &[0, 0], more].concat()
    };
    let read = read_raw(&texts("web-1", &[]));
    let Ok(Message::Introduction(introduction)) = &read else {
        panic!("{read:?}")
    };
    let settings = introduction.settings;
    assert_eq!((settings.lanes, settings.json_lane), (2, true));
    assert_eq!(settings.heartbeat, Duration::from_micros(7));
    assert_eq!(settings.time_to_live, Duration::from_micros(9));
    assert_eq!(introduction.name, "web-1");
    // What a later release adds is skipped.
    assert_eq!(read_raw(&texts("web-1", &[1, 2, 3])), read);
    for (what, raw) in [
        ("a name of 65 bytes", texts(&"n".repeat(65), &[])),
        ("a name that breaks lines", texts("a\nb", &[])),
        ("no lanes", vec![132, 0, 0, 7, 9, 0, 0, 0]),
        ("65,537 lanes", vec![132, 0, 0x81, 0x80, 4, 7, 9, 0, 0, 0]),
        ("no time between heartbeats", vec![132, 0, 1, 0, 9, 0, 0, 0]),
        ("no time to live", vec![132, 0, 1, 7, 0, 0, 0, 0]),
        (
            "a heartbeat in four years",
            vec![
                132, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 9, 0, 0, 0,
            ],
        ),
        ("a text that ends early", vec![132, 0, 1, 7, 9, 4, b'a']),
    ] {
        assert_eq!(read_raw(&raw), Err(DecodeError::Malformed), "{what}");
    }
}

#[test]
fn a_contact_has_a_form_and_room_for_more() {
    let lost = |count: u8| [&[133, 1, 3, count][..], &[7; 16].repeat(count.into()), &[0]].concat();
    let Ok(Message::Contact(contact)) = read_raw(&lost(2)) else {
        panic!("no contact")
    };
    assert_eq!(
        (contact.ready, contact.more_lost, contact.rank),
        (true, false, 3)
    );
    assert_eq!(contact.lost, [NodeId([7; 16]); 2]);
    let more = [&lost(2)[..], &[9, 9]].concat();
    assert_eq!(read_raw(&more), Ok(Message::Contact(contact)));
    for (what, raw) in [
        ("a list that ends early", vec![133, 1, 3, 2, 7]),
        (
            "a count that is a lie",
            vec![133, 1, 3, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
        ("9 nodes", vec![133, 1, 3, 9]),
    ] {
        assert_eq!(read_raw(&raw), Err(DecodeError::Malformed), "{what}");
    }
}

#[test]
fn an_ask_has_a_form() {
    let run = |first, last| [&[129][..], &[9; 16], &[1, 0, first, last, 0]].concat();
    assert!(read_raw(&run(4, 4)).is_ok());
    assert_eq!(read_raw(&run(5, 4)), Err(DecodeError::Malformed));
    let many = [&[129][..], &[9; 16], &[33], &[0, 4, 4, 0].repeat(33)].concat();
    let header = Header::new(NodeId([0; 16]), 0, 1);
    let bytes = [
        &encode(header, &[])[..],
        &[many.len() as u8 | 0x80, 1],
        &many,
    ]
    .concat();
    let Ok(Decoded::Frame(decoded)) = frame(bytes) else {
        panic!("no frame")
    };
    assert_eq!(messages(&decoded)[0].1, Err(DecodeError::Malformed));
}

/// A question that publishes has a number, and no other has.
#[test]
fn a_question_travels_as_its_kind_does() {
    for message in golden::questions() {
        let header = Header::new(NodeId([0; 16]), 0, 1);
        let mut written = encode(header, std::slice::from_ref(&message));
        let kind = written.len() - encode(header, &[]).len();
        let at = written.len() - kind + 1;
        if !matches!(message, Message::Question { .. }) {
            continue;
        }
        written[at] = if is_numbered(&message) { 130 } else { 2 };
        let Ok(Decoded::Frame(decoded)) = frame(written) else {
            panic!("no frame")
        };
        assert_eq!(messages(&decoded)[0].1, Err(DecodeError::Malformed));
    }
}

/// A later release may ask what this one does not know; a program that passes the message on must be able to.
#[test]
fn questions_and_answers_of_unknown_kinds_are_unknown_messages() {
    let header = Header::new(NodeId([1; 16]), 0, 1);
    let question = Message::Unknown {
        kind: 130,
        body: vec![7, 200, 1, 2].into(),
    };
    let answer = Message::Unknown {
        kind: 131,
        body: [&[9; 16][..], &[7, 200]].concat().into(),
    };
    let written = encode(header, &[question.clone(), answer.clone()]);
    let Ok(Decoded::Frame(read)) = frame(written) else {
        panic!("no frame")
    };
    assert_eq!(messages(&read), [(None, Ok(question)), (None, Ok(answer))]);
}

#[test]
fn a_known_kind_cannot_be_written_as_unknown() {
    for kind in [1, 128, 129, 132, 133] {
        let body = vec![0].into();
        let refused = Message::Unknown { kind, body }.encode();
        assert_eq!(refused, Err(EncodeError::KnownKind(kind)));
    }
}

#[test]
fn an_audience_that_travels_is_bounded() {
    let target = || Target::topic("t").unwrap();
    let targets = |count| (1..count).fold(Audience::from(target()), |all, _| all.or(target()));
    let except = |count| {
        let me = || ConnectionId::new("me").unwrap();
        (0..count).fold(Audience::from(target()), |all, _| all.except(me()))
    };
    for audience in [targets(MAX_AUDIENCE), except(MAX_AUDIENCE)] {
        assert!(publish(&[], audience, Event::text("e")).encode().is_ok());
    }
    let count = MAX_AUDIENCE + 1;
    for audience in [targets(count), except(count)] {
        let refused = publish(&[], audience, Event::text("e")).encode();
        assert_eq!(refused, Err(EncodeError::TooMany(TooMany { count })));
    }
    // A forged one: 257 targets of one letter each, no exclusion, no payload.
    let body = [
        &[1, 0, 1, 0, 0x81, 0x02][..],
        &[6, 1, b't'].repeat(count),
        &[0, 0],
    ]
    .concat();
    let length = [body.len() as u8 | 0x80, (body.len() >> 7) as u8];
    let header = Header::new(NodeId([0; 16]), 0, 1);
    let bytes = [&encode(header, &[])[..], &length, &body].concat();
    let Ok(Decoded::Frame(decoded)) = frame(bytes) else {
        panic!("no frame")
    };
    assert_eq!(messages(&decoded), [(Some(1), Err(DecodeError::Malformed))]);
}

#[test]
fn a_frame_holds_its_header_or_is_refused() {
    let longest = Duration::from_micros(u64::MAX);
    let header = Header {
        stamp: longest,
        before: longest,
        waited: longest,
        ..Header::new(NodeId([0xff; 16]), u32::MAX, u64::MAX)
    };
    // A signed one holds its signature too.
    let bytes = HEADER - SIGNATURE;
    let fits = FrameWriter::new(header, bytes).unwrap();
    assert_eq!(fits.finish().len(), bytes);
    let refused = FrameWriter::new(header, bytes - 1).map(FrameWriter::finish);
    let limit = bytes - 1;
    assert_eq!(
        refused,
        Err(EncodeError::TooLarge(TooLarge { bytes, limit }))
    );
}

#[test]
fn a_message_that_cannot_be_read_does_not_hide_the_next() {
    let header = Header::new(NodeId([0; 16]), 0, 10);
    let good = publish(&[], Target::topic("t").unwrap().into(), Event::text("good"));
    // A publish that claims four billion targets and has none; only reading can tell.
    let hostile = [1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let bytes = with_raw(header, &[&good, &good], 1, &hostile);
    let Ok(Decoded::Frame(decoded)) = frame(bytes) else {
        panic!("no frame")
    };
    assert_eq!(
        messages(&decoded),
        [
            (Some(10), Ok(good.clone())),
            (Some(11), Err(DecodeError::Malformed)),
            (Some(12), Ok(good))
        ]
    );
}

#[test]
fn sequence_numbers_do_not_wrap() {
    let header = Header::new(NodeId([0; 16]), 0, u64::MAX);
    let message = publish(&[], Target::topic("t").unwrap().into(), Event::text("e"));
    let mut writer = FrameWriter::new(header, LIMIT).unwrap();
    writer.push(&message).unwrap();
    assert_eq!(writer.push(&message), Err(EncodeError::SequenceExhausted));
    let mut bytes = writer.finish().to_vec();
    // A forged second message behind the largest number.
    let body = encode(Header { first: 0, ..header }, &[message]);
    let head = encode(Header { first: 0, ..header }, &[]).len();
    bytes.extend_from_slice(&body[head..]);
    let Ok(Decoded::Frame(decoded)) = frame(bytes) else {
        panic!("no frame")
    };
    let outcomes: Vec<bool> = messages(&decoded)
        .iter()
        .map(|(_, outcome)| outcome.is_ok())
        .collect();
    assert_eq!(outcomes, [true, false]);
}

#[test]
fn a_frame_stays_within_its_limit() {
    let header = Header::new(NodeId([0; 16]), 0, 0);
    let message = |size| {
        publish(
            &[],
            Target::topic("t").unwrap().into(),
            Event::binary(vec![0; size]),
        )
    };
    let mut writer = FrameWriter::new(header, 200).unwrap();
    writer.push(&message(50)).unwrap();
    let Err(EncodeError::TooLarge(TooLarge { bytes, limit: 200 })) = writer.push(&message(150))
    else {
        panic!("too large a message went in")
    };
    assert!(bytes > 200);
    writer.push(&message(50)).unwrap();
    let bytes = writer.finish();
    assert!(bytes.len() <= 200);
    let Ok(Decoded::Frame(decoded)) = Frame::decode(&bytes, 200) else {
        panic!("no frame")
    };
    assert!(
        messages(&decoded)
            .iter()
            .all(|(_, outcome)| outcome.is_ok())
    );
    assert_eq!(messages(&decoded).len(), 2);
}

fn target() -> impl Strategy<Value = Target> {
    let kinds = prop_oneof![
        Just(Kind::Connection),
        Just(Kind::Session),
        Just(Kind::User),
        Just(Kind::Org),
        Just(Kind::Agent),
        Just(Kind::Topic)
    ];
    (kinds, "\\PC{1,20}").prop_map(|(kind, id)| Target::new(kind, id).unwrap())
}

fn message() -> impl Strategy<Value = Message> {
    let audience = (
        prop::collection::vec(target(), 1..4),
        prop::collection::vec("\\PC{1,9}", 0..3),
    );
    let event = (
        prop::collection::vec(any::<u8>(), 0..300),
        any::<bool>(),
        prop::option::of("[a-z]{1,9}"),
    );
    let publish = (prop::collection::vec("\\PC{1,9}", 0..3), audience, event).prop_map(
        |(scope, (targets, except), (bytes, text, key))| {
            let mut targets = targets.into_iter();
            let mut audience = Audience::from(targets.next().unwrap());
            for target in targets {
                audience = audience.or(target);
            }
            for id in except {
                audience = audience.except(ConnectionId::new(id).unwrap());
            }
            let event = match text {
                true => Event::text(String::from_utf8_lossy(&bytes)),
                false => Event::binary(bytes),
            };
            let event = match key {
                Some(key) => event.keyed(EventKey::new(key).unwrap()),
                None => event,
            };
            let scope: Vec<&str> = scope.iter().map(String::as_str).collect();
            publish(&scope, audience, event)
        },
    );
    let unknown = (
        prop_oneof![4..128_u8, 135..=255_u8],
        prop::collection::vec(any::<u8>(), 0..50),
    )
        .prop_map(|(kind, body)| Message::Unknown {
            kind,
            body: body.into(),
        });
    let question = prop::sample::select(golden::questions());
    prop_oneof![4 => publish, 1 => unknown, 1 => question, 1 => Just(Message::Withdrawn)]
}

fn header() -> impl Strategy<Value = Header> {
    let times = [any::<u64>(), any::<u64>(), any::<u64>()];
    (any::<[u8; 16]>(), any::<u32>(), 0..u64::MAX - 10, times).prop_map(
        |(origin, lane, first, times)| {
            let [stamp, before, waited] = times.map(Duration::from_micros);
            Header {
                stamp,
                before,
                waited,
                ..Header::new(NodeId(origin), lane, first)
            }
        },
    )
}

proptest! {
    #[test]
    fn frames_round_trip(header in header(), sent in prop::collection::vec(message(), 0..5)) {
        let Ok(Decoded::Frame(decoded)) = frame(encode(header, &sent)) else { panic!("no frame") };
        prop_assert_eq!(*decoded.header(), header);
        let received: Vec<_> = messages(&decoded).into_iter().map(|(_, outcome)| outcome.unwrap()).collect();
        prop_assert_eq!(received, sent);
    }

    /// Whatever arrives is a value or an error, and a frame never yields more messages than bytes.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Decoded::Frame(decoded)) = frame(bytes.clone()) {
            prop_assert!(decoded.messages().count() <= bytes.len());
        }
    }

    /// Good frames with one byte changed, or the tail cut, as input of the decoder.
    #[test]
    fn damaged_frames_never_panic(
        header in header(),
        sent in prop::collection::vec(message(), 1..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let good = encode(header, &sent);
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed[at] = byte;
        for bytes in [changed, good[..at].to_vec()] {
            if let Ok(Decoded::Frame(decoded)) = frame(bytes) {
                prop_assert!(decoded.messages().count() <= good.len());
            }
        }
    }

    #[test]
    fn targets_round_trip_as_text_and_json(target in target()) {
        prop_assert_eq!(&target.to_string().parse::<Target>().unwrap(), &target);
        let json = serde_json::to_string(&target).unwrap();
        prop_assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
    }
}

#[test]
fn a_target_in_json_has_its_type_and_id() {
    let target = Target::session("s1").unwrap();
    assert_eq!(
        serde_json::to_string(&target).unwrap(),
        r#"{"type":"session","id":"s1"}"#
    );
    for bad in [
        r#"{"type":"session","id":""}"#,
        r#"{"type":"planet","id":"x"}"#,
        r#"{"type":"session"}"#,
        r#"{"type":"session","id":"x","more":1}"#,
        &format!(r#"{{"type":"session","id":"{}"}}"#, "x".repeat(256)),
    ] {
        assert!(serde_json::from_str::<Target>(bad).is_err(), "{bad}");
    }
    assert!("session".parse::<Target>().is_err() && "planet:x".parse::<Target>().is_err());
}
