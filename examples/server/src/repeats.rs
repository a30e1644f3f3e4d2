//! Lines of the log that say the same of many: the first few are written, and how many the rest were.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use midplane::Timer;

/// Within which time lines of one kind are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// Lines of one kind that are written in that time.
const WRITTEN: u64 = 8;

/// The kinds of lines that may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    Joined,
    Left,
    Silent,
    Differs,
    LinkLost,
}

impl Repeated {
    const ALL: [Self; 5] = [
        Self::Joined,
        Self::Left,
        Self::Silent,
        Self::Differs,
        Self::LinkLost,
    ];

    fn line(self) -> &'static str {
        match self {
            Self::Joined => "node joined",
            Self::Left => "node left",
            Self::Silent => "node silent",
            Self::Differs => "settings differ",
            Self::LinkLost => "bus link lost",
        }
    }
}

/// Counts lines that repeat.
pub(crate) struct Repeats {
    timer: Arc<dyn Timer>,
    counts: [u64; Repeated::ALL.len()],
    /// The end of the window in which these were counted.
    end: Option<BoxFuture<'static, ()>>,
}

impl Repeats {
    pub(crate) fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            timer,
            counts: [0; Repeated::ALL.len()],
            end: None,
        }
    }

    /// Whether a line of this kind is to be written.
    pub(crate) fn admits(&mut self, kind: Repeated) -> bool {
        self.end.get_or_insert_with(|| self.timer.sleep(WINDOW));
        let count = &mut self.counts[kind as usize];
        *count += 1;
        *count <= WRITTEN
    }

    /// What was not written, once the window ends: each kind's line and number. Never, while nothing is counted.
    pub(crate) async fn ended(&mut self) -> Vec<(&'static str, u64)> {
        match &mut self.end {
            Some(end) => end.await,
            None => pending().await,
        }
        self.end = None;
        let counts = std::mem::take(&mut self.counts);
        let left = |kind: Repeated| counts[kind as usize].saturating_sub(WRITTEN);
        let lines = Repeated::ALL.map(|kind| (kind.line(), left(kind)));
        lines.into_iter().filter(|(_, left)| *left > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use midplane_testkit::clock::VirtualClock;

    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_number() {
        let clock = VirtualClock::default();
        let mut repeats = Repeats::new(Arc::new(clock.clone()));
        assert!(repeats.ended().now_or_never().is_none());
        let written = (0..1_000)
            .filter(|_| repeats.admits(Repeated::Joined))
            .count();
        assert_eq!(written as u64, WRITTEN);
        assert!(repeats.admits(Repeated::Left));
        assert!(repeats.ended().now_or_never().is_none());
        assert!(clock.advance(WINDOW));
        let ended = repeats.ended().now_or_never();
        assert_eq!(ended, Some(vec![("node joined", 1_000 - WRITTEN)]));
        assert!(repeats.admits(Repeated::Joined));
    }
}
