//! How much a driver passes on before the tasks that read the mailboxes have a turn.

use crate::registry::Tally;

/// Pieces of news that are passed on in any turn: what reads a mailbox is to have many turns before a burst has filled it,
/// also on an executor that does not take all its tasks in turn.
const LEAST: usize = 32;

/// Pieces of news, and deliveries of the events among them, that are passed on in a turn whatever room the mailboxes have: about
/// a millisecond.
const MOST: usize = 256;
const DELIVERIES: usize = 16 << 10;

/// What was passed on in one turn.
#[derive(Default)]
pub(super) struct Turn {
    news: usize,
    deliveries: usize,
    fills: bool,
}

impl Turn {
    /// Whether more is passed on in it.
    pub(super) fn goes_on(&self) -> bool {
        let has_room = !self.fills && self.news < MOST && self.deliveries < DELIVERIES;
        self.news < LEAST || has_room
    }

    /// A piece of news is passed on.
    pub(super) fn passed(&mut self) {
        self.news += 1;
    }

    /// An event among them was delivered.
    pub(super) fn delivered(&mut self, tally: &Tally) {
        self.deliveries += tally.delivered.accepted;
        self.fills |= tally.fills;
    }
}
