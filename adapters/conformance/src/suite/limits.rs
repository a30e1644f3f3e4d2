//! The limits of a bus.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use midplane::bus::BusErrorKind;

use super::BusFixture;
use super::test_link::{TestLink, outbound, without_echo};
use midplane_testkit::within;

/// [`Limits::frame`](midplane::bus::Limits::frame): "the largest frame, in bytes".
pub(crate) async fn the_largest_frame_arrives(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut node = TestLink::on(&*bus, &[1]).await;
    let mut other = TestLink::on(&*bus, &[1]).await;
    let largest = noise(bus.limits().frame);
    node.send(1, largest.clone()).await;
    node.receives(1, largest.clone()).await;
    other.receives(1, largest).await;
}

/// "A frame is larger than the limit: then none of the frames was sent and the link lives."
pub(crate) async fn a_larger_frame_is_refused_and_the_link_lives(fixture: Arc<dyn BusFixture>) {
    let bus = fixture.bus();
    let mut node = TestLink::on(&*bus, &[1]).await;
    let too_large = noise(bus.limits().frame + 1);
    let frames = [
        outbound(1, "not sent"),
        outbound(1, too_large),
        outbound(1, "nor this"),
    ];
    let error = within("the refusal", node.transmit.send(&frames))
        .await
        .expect_err("a frame of one byte too many");
    assert_eq!(error.kind(), BusErrorKind::TooLarge, "{error}");
    node.send(1, "fence").await;
    node.receives(1, "fence").await;
}

/// "What waits in it is bounded; a link that overflows is dead": one that lags yields what was sent up
/// to some point, without a hole, and then ends.
pub(crate) async fn a_link_nobody_reads_skips_nothing(fixture: Arc<dyn BusFixture>) {
    const BATCH: usize = 100;

    let bus = fixture.bus();
    let mut sender = TestLink::on(&*bus, &[2]).await;
    let mut lagging = TestLink::on(&*bus, &[1]).await;
    let mut read = 0;
    let mut end = None;
    let frame = |number: usize| {
        let mut bytes = noise(1024).to_vec();
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Bytes::from(bytes)
    };
    let rounds = fixture.flood().div_ceil(BATCH);
    for round in 0..rounds {
        let mut batch: Vec<_> = (round * BATCH..(round + 1) * BATCH)
            .map(|number| without_echo(1, frame(number)))
            .collect();
        batch.push(outbound(2, "fence"));
        sender.send_all(&batch).await;
        sender.receives(2, "fence").await;
        // One for a hundred: it is alive, and falls behind.
        if end.is_none() {
            end = take(&mut lagging, &mut read, &frame).await;
        }
    }
    while end.is_none() && read < rounds * BATCH {
        end = take(&mut lagging, &mut read, &frame).await;
    }
    let kind = end.expect("the link overflows").expect("and says so");
    assert_eq!(kind, BusErrorKind::Overflow);
    let after = within("the end", lagging.frames.next()).await;
    assert!(after.is_none(), "{after:?} after the end of the stream");
}

/// Takes one frame, which must be the next in number, or gives how the link ended.
async fn take(
    node: &mut TestLink,
    read: &mut usize,
    frame: &impl Fn(usize) -> Bytes,
) -> Option<Option<BusErrorKind>> {
    match within("a frame or the end", node.frames.next()).await {
        Some(Ok(inbound)) => {
            assert!(inbound.frame == frame(*read), "frame {read} is missing");
            *read += 1;
            None
        }
        Some(Err(error)) => Some(Some(error.kind())),
        None => Some(None),
    }
}

/// Bytes that nothing compresses, the same each time.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}
