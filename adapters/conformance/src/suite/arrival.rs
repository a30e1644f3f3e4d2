//! What is sent arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{join, join_all};

use super::BusFixture;
use super::test_link::{TestLink, outbound, without_echo};

/// "What arrives on the lanes that are subscribed, this link's own frames with an echo among them."
pub(crate) async fn every_link_receives_a_frame_the_sender_too(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(TestLink::on(&*bus, &[0, 7]).await);
    }
    nodes.push(TestLink::on(&*fixture.bus(), &[0, 7]).await);
    nodes[0].send(0, "control").await;
    for node in &mut nodes {
        node.receives(0, "control").await;
    }
    nodes[2].send(7, "seven").await;
    for node in &mut nodes {
        node.receives(7, "seven").await;
    }
}

/// "Frames of one sender on one lane arrive in the order sent, those with an echo and those without each for
/// themselves."
pub(crate) async fn frames_of_one_sender_on_one_lane_keep_their_order(
    fixture: Arc<dyn BusFixture>,
) {
    for echo in [false, true] {
        keep_their_order(&*fixture, echo).await;
    }
}

/// Thousands of frames, of two senders on two lanes, arrive in order while nothing is wrong: on a link that sends none, and
/// with an echo on those of the senders.
async fn keep_their_order(fixture: &dyn BusFixture, echo: bool) {
    const SENDERS: u32 = 2;
    const LANES: [u32; 2] = [3, 4];
    const PER_LANE: u32 = 1_000;
    const BATCH: u32 = 50;

    let bus = fixture.bus();
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    for sender in 0..SENDERS {
        let TestLink {
            mut transmit,
            frames,
        } = TestLink::on(&*bus, &LANES).await;
        senders.push(async move {
            for first in (0..PER_LANE).step_by(BATCH as usize) {
                let batch: Vec<_> = (first..first + BATCH)
                    .flat_map(|number| LANES.map(|lane| (lane, number)))
                    .map(|(lane, number)| (lane, format!("{sender} {number}")))
                    .map(|(lane, text)| match echo {
                        true => outbound(lane, text),
                        false => without_echo(lane, text),
                    })
                    .collect();
                midplane_testkit::succeeds("sending", transmit.send(&batch)).await;
            }
            transmit
        });
        readers.push((frames, (!echo).then_some(sender)));
    }
    let TestLink { transmit, frames } = TestLink::on(&*bus, &LANES).await;
    readers.push((frames, None));
    let readers = readers.into_iter().map(|(mut frames, own)| async move {
        // What a bus may spare a sender is not counted.
        let counted = (0..SENDERS).filter(|sender| Some(*sender) != own);
        let mut left = counted.count() as u32 * PER_LANE * LANES.len() as u32;
        let mut expected = BTreeMap::new();
        while left > 0 {
            let (lane, frame) = super::test_link::next(&mut frames).await;
            let text = std::str::from_utf8(&frame).expect("what was sent is text");
            let (sender, number) = text.split_once(' ').expect("a sender and a number");
            let sender: u32 = sender.parse().expect("a number");
            left -= u32::from(Some(sender) != own);
            let next = expected.entry((lane, sender)).or_insert(0_u32);
            assert_eq!(
                number.parse(),
                Ok(*next),
                "the number of sender {sender} on lane {lane}"
            );
            *next += 1;
        }
    });
    // The transmitting halves are kept until everything was read.
    let (_transmits, _) = join(join_all(senders), join_all(readers)).await;
    drop(transmit);
}

/// "Moving opaque frames": nothing in their bytes means anything to the bus.
pub(crate) async fn every_byte_arrives_as_it_was_sent(fixture: Arc<dyn BusFixture>) {
    let mut node = TestLink::on(&*fixture.bus(), &[1]).await;
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let mut frames: Vec<Bytes> = all.iter().map(|byte| vec![*byte].into()).collect();
    frames.extend([
        Bytes::from(all),
        Bytes::new(),
        Bytes::from_static(b"\r\n"),
        Bytes::from_static(b"+OK\r\nMSG x 1 5\r\nhello\r\n"),
        Bytes::from_static(b"it's \"quoted\" \\ and \0 ended"),
        Bytes::from_static(b"\xff\xfe\xc3\x28 is no text"),
        Bytes::from_static(b"the end"),
    ]);
    let outbounds: Vec<_> = frames
        .iter()
        .map(|frame| outbound(1, frame.clone()))
        .collect();
    node.send_all(&outbounds).await;
    for frame in frames {
        node.receives(1, frame).await;
    }
}
