//! Frames of made-up nodes, which pass themselves off as those of a simulated bus.

use std::time::Duration;

use bytes::Bytes;
use midplane_core::node::{Intake, Node};
use midplane_core::{Event, Scope};

use crate::history::EventName;
use crate::wire::{LIMITS, Wire, id, lane_of, ms, secs};

/// What another process sends that passes itself off as a node: heartbeats, and this many events on a lane, each
/// in a frame of its own. Its clock is ahead of the node's by a time.
pub(crate) fn forged(
    wire: &Wire,
    node: usize,
    ahead: Duration,
    events: u64,
    lane: u32,
) -> Vec<Bytes> {
    let mut forger = Node::new(id(node), wire.config, LIMITS);
    let intake = Intake::new(wire.config.lanes, LIMITS);
    let warm = ms(2_500);
    let mut clock = wire.clock(node) + ahead - warm;
    let mut sent = Vec::new();
    forger.connected(clock);
    let mut speak = |forger: &mut Node, clock| {
        forger.tick(clock);
        while let Some(frame) = forger.transmit(clock) {
            forger.receive(clock, frame.lane, &frame.frame);
            while forger.news().is_some() {}
            sent.push(frame.frame);
        }
    };
    for _ in 0..250 {
        clock += ms(10);
        speak(&mut forger, clock);
    }
    for number in 0..events {
        let (body, audience) = (
            EventName {
                from: 99,
                lane,
                number,
            }
            .text(),
            wire.topic(lane),
        );
        let queued = intake.publish(clock, &Scope::default(), audience, &Event::text(body));
        forger.enqueue(queued.unwrap());
        speak(&mut forger, clock);
    }
    sent
}

/// What a made-up node sends that has heard a made-up other, whose clock is ahead of the true one's.
pub(crate) fn forged_pair(wire: &Wire, node: usize, other: usize, ahead: Duration) -> Vec<Bytes> {
    let mut pair = [node, other].map(|node| Node::new(id(node), wire.config, LIMITS));
    let mut clocks = [
        wire.clock(node) + ms(100) - secs(8),
        // No stamp is one that the true one gave.
        wire.clock(other) + ahead - secs(8) + Duration::from_micros(3),
    ];
    let mut sent = Vec::new();
    pair[0].connected(clocks[0]);
    pair[1].connected(clocks[1]);
    for _ in 0..800 {
        for sender in [0, 1] {
            clocks[sender] += ms(10);
            let clock = clocks[sender];
            pair[sender].tick(clock);
            while let Some(frame) = pair[sender].transmit(clock) {
                for (node, clock) in pair.iter_mut().zip(clocks) {
                    node.receive(clock, frame.lane, &frame.frame);
                    while node.news().is_some() {}
                }
                if sender == 0 {
                    sent.push(frame.frame);
                }
            }
        }
    }
    sent
}

/// What a made-up node sends that says of a true frame that it came a time before it did.
pub(crate) fn forged_echo(wire: &Wire, node: usize, heard: &Bytes, before: Duration) -> Vec<Bytes> {
    let mut forger = Node::new(id(node), wire.config, LIMITS);
    let mut clock = wire.clock(node) + ms(100) - before;
    let end = clock + before;
    let mut sent = Vec::new();
    forger.connected(clock);
    forger.receive(clock, lane_of(heard), heard);
    while clock < end {
        clock += ms(10);
        forger.tick(clock);
        while let Some(frame) = forger.transmit(clock) {
            forger.receive(clock, frame.lane, &frame.frame);
            while forger.news().is_some() {}
            sent.push(frame.frame);
        }
    }
    sent
}
