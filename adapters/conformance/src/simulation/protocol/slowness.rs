//! How slow something is, and how that is drawn.

use std::time::Duration;

use midplane_testkit::random::{Draw, Random};

/// How long a frame is on its way from the broker to one member on one lane: the delay, and up to the jitter more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slowness {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

impl Slowness {
    pub(super) fn longest(self) -> Duration {
        self.delay + self.jitter
    }
}

pub(super) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A time up to this one, drawn so that short ones are as likely as long ones.
pub(super) fn up_to(random: &mut Random, longest: Duration) -> Duration {
    let longest = longest.as_millis() as u64;
    let scale = [1, 10, 100, 1_000];
    let scale = random.pick(&scale).copied().unwrap_or(1);
    millis(random.below(longest / scale + 1))
}
