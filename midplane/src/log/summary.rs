//! Which notices become lines: plain values and a clock that is passed in.

use std::time::Duration;

use midplane_core::{Instant, Notice, State, Status};

/// The least time between two lines about what goes on.
const PACE: Duration = Duration::from_secs(60);

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// What the notice says.
    Notice(Notice),
    /// The plane is not live yet, which is how each begins.
    Connecting,
    LiveAgain {
        /// For how long the plane was not live.
        outage: Duration,
        /// Links that ended or were not opened meanwhile.
        links: u64,
    },
    StillDegraded {
        outage: Duration,
        links: u64,
        reason: String,
    },
    Links {
        links: u64,
        reason: String,
    },
    Dropped(Dropped),
}

/// What was dropped on this node since the line before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Deliveries to sinks that had no room, and events that mailboxes dropped.
    pub(super) full: u64,
    /// Deliveries to sinks that panicked.
    pub(super) panicked: u64,
    /// Events that were refused on their way to other nodes.
    pub(super) refused: u64,
    /// Events that were accepted for other nodes and given up.
    pub(super) expired: u64,
}

impl Dropped {
    fn of(status: &Status) -> Self {
        let refusals = status.refusals;
        let refused = refusals.stopped + refusals.full + refusals.too_large + refusals.too_many;
        Self {
            full: status.drops.full as u64 + status.mailboxes.dropped,
            panicked: status.drops.panicked as u64,
            refused: refused as u64,
            expired: status.lost,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            full: self.full.wrapping_sub(before.full),
            panicked: self.panicked.wrapping_sub(before.panicked),
            refused: self.refused.wrapping_sub(before.refused),
            expired: self.expired.wrapping_sub(before.expired),
        }
    }
}

/// What the log was told, and when.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Whether the plane was ever live.
    lived: bool,
    /// Since when the plane is not live.
    outage: Option<Instant>,
    /// Links that were lost since the line before that said so.
    links: u64,
    /// Links that were lost since the plane was live.
    outage_links: u64,
    reason: String,
    /// When the next line may come about links and about drops.
    next_link: Instant,
    next_drop: Instant,
    told: Dropped,
}

impl Summary {
    /// The lines about a notice.
    pub(super) fn notice(&mut self, now: Instant, notice: &Notice) -> Option<Line> {
        match notice {
            Notice::State(state) => Some(self.state(now, *state)),
            Notice::Bus(reason) => self.link(now, reason),
            _ => Some(Line::Notice(notice.clone())),
        }
    }

    fn state(&mut self, now: Instant, state: State) -> Line {
        match state {
            State::Live => {
                let outage = self.outage.take().filter(|_| self.lived);
                let links = std::mem::take(&mut self.outage_links);
                self.lived = true;
                self.links = 0;
                if let Some(since) = outage {
                    let outage = now - since;
                    return Line::LiveAgain { outage, links };
                }
            }
            State::Degraded => {
                self.outage.get_or_insert(now);
                if !self.lived {
                    return Line::Connecting;
                }
            }
            State::Closed => self.outage = None,
            _ => {}
        }
        Line::Notice(Notice::State(state))
    }

    fn link(&mut self, now: Instant, reason: &str) -> Option<Line> {
        self.links += 1;
        self.outage_links += 1;
        reason.clone_into(&mut self.reason);
        self.due_link(now)
    }

    fn due_link(&mut self, now: Instant) -> Option<Line> {
        if self.links == 0 || now < self.next_link {
            return None;
        }
        self.next_link = now + PACE;
        let (links, reason) = (std::mem::take(&mut self.links), self.reason.clone());
        Some(match (links, self.outage) {
            (1, _) => Line::Notice(Notice::Bus(reason)),
            (_, None) => Line::Links { links, reason },
            (_, Some(since)) => Line::StillDegraded {
                outage: now - since,
                links,
                reason,
            },
        })
    }

    /// The lines about what the counts say, and about links of which none could be said yet.
    pub(super) fn look(&mut self, now: Instant, status: &Status) -> Option<Line> {
        if let Some(line) = self.due_link(now) {
            return Some(line);
        }
        let dropped = Dropped::of(status);
        if dropped == self.told || now < self.next_drop {
            return None;
        }
        self.next_drop = now + PACE;
        let before = std::mem::replace(&mut self.told, dropped);
        Some(Line::Dropped(dropped.since(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn lost(summary: &mut Summary, seconds: u64) -> Option<Line> {
        summary.notice(at(seconds), &Notice::Bus("gone".into()))
    }

    fn state(summary: &mut Summary, seconds: u64, state: State) -> Option<Line> {
        summary.notice(at(seconds), &Notice::State(state))
    }

    #[test]
    fn a_start_is_no_outage() {
        let mut summary = Summary::default();
        assert_eq!(
            state(&mut summary, 0, State::Degraded),
            Some(Line::Connecting)
        );
        let live = Line::Notice(Notice::State(State::Live));
        assert_eq!(state(&mut summary, 1, State::Live), Some(live));
        assert_eq!(summary.look(at(10), &Status::default()), None);
    }

    #[test]
    fn an_outage_is_said_first_and_then_once_a_minute_with_a_count() {
        let mut summary = Summary::default();
        state(&mut summary, 0, State::Degraded);
        state(&mut summary, 1, State::Live);
        let reason = || "gone".to_owned();
        assert_eq!(
            lost(&mut summary, 100),
            Some(Line::Notice(Notice::Bus(reason())))
        );
        assert_eq!(
            state(&mut summary, 100, State::Degraded),
            Some(Line::Notice(Notice::State(State::Degraded)))
        );
        let lines: Vec<_> = (101..160).filter_map(|at| lost(&mut summary, at)).collect();
        assert_eq!(lines, []);
        let still = |outage, links| Line::StillDegraded {
            outage: Duration::from_secs(outage),
            links,
            reason: reason(),
        };
        assert_eq!(lost(&mut summary, 160), Some(still(60, 60)));
        // What was counted since is said though no other link is lost.
        assert_eq!(lost(&mut summary, 161), None);
        assert_eq!(lost(&mut summary, 162), None);
        assert_eq!(summary.look(at(219), &Status::default()), None);
        assert_eq!(
            summary.look(at(220), &Status::default()),
            Some(still(120, 2))
        );
        let live = Line::LiveAgain {
            outage: Duration::from_secs(130),
            links: 63,
        };
        assert_eq!(state(&mut summary, 230, State::Live), Some(live));
    }

    #[test]
    fn drops_are_said_once_a_minute_as_what_came_since() {
        let mut summary = Summary::default();
        let status = |full: usize, lost| {
            let mut status = Status::default();
            status.drops.full = full;
            status.lost = lost;
            status
        };
        let line = |full, expired| {
            let dropped = Dropped {
                full,
                expired,
                ..Dropped::default()
            };
            Some(Line::Dropped(dropped))
        };
        assert_eq!(summary.look(at(10), &status(0, 0)), None);
        assert_eq!(summary.look(at(20), &status(3, 0)), line(3, 0));
        assert_eq!(summary.look(at(30), &status(9, 0)), None);
        assert_eq!(summary.look(at(80), &status(9, 2)), line(6, 2));
        assert_eq!(summary.look(at(150), &status(9, 2)), None);
    }
}
