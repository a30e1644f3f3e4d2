//! Leaving many targets without holding others up.

use std::future::poll_fn;
use std::task::Poll;

use midplane::Attachment;

/// Targets that are left in one turn. Where a thousand clients with a thousand targets each go at once, what others wait
/// for is the turns of these clients, and not their leaving as a whole.
const TARGETS: usize = 32;

/// Takes a connection out of all targets but its own, a few in each turn of its task.
pub(crate) async fn leave_in_turns(attachment: &Attachment) {
    let targets = attachment.targets();
    let Some((first, others)) = targets.get(1..).and_then(<[_]>::split_first) else {
        return;
    };
    // The last takes the place of the one that is left, so that in this order each is found at once.
    let order = [first].into_iter().chain(others.iter().rev());
    for (number, target) in order.enumerate() {
        if number > 0 && number % TARGETS == 0 {
            turn().await;
        }
        attachment.dissociate(target);
    }
}

/// Lets other tasks run.
async fn turn() {
    let mut over = false;
    poll_fn(|context| {
        if std::mem::replace(&mut over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use futures::FutureExt;
    use midplane::{Plane, Target};

    use super::*;

    #[test]
    fn a_turn_leaves_a_few_targets() {
        const TOPICS: usize = 1_022;
        let plane = Plane::local();
        let connection = plane.attach();
        for topic in 0..TOPICS {
            connection
                .associate(Target::topic(topic))
                .now_or_never()
                .unwrap()
                .unwrap();
        }
        let attachment = connection.attachment();
        let mut leaving = pin!(leave_in_turns(attachment));
        let context = &mut Context::from_waker(Waker::noop());
        let (mut left, mut turns) = (0, 0);
        loop {
            let over = leaving.as_mut().poll(context).is_ready();
            let before = left;
            left = TOPICS + 1 - attachment.targets().len();
            assert!(left - before <= TARGETS, "{} in one turn", left - before);
            turns += 1;
            if over {
                break;
            }
        }
        assert_eq!((left, turns), (TOPICS, TOPICS.div_ceil(TARGETS)));
    }
}
