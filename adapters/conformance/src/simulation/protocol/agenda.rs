//! What is to happen, and when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use midplane::Instant;
use midplane::bus::Outbound;

use super::plan::Burst;
use super::trouble::Trouble;

/// Something that happens at a moment.
#[derive(Debug)]
pub(super) enum Happening {
    Pipe(usize, u32),
    Timer(usize),
    /// A frame of a member reaches the broker by this link.
    Sent(usize, u64, Outbound),
    Burst(usize, Burst),
    Trouble(Trouble),
    /// A member tries to connect.
    Connect(usize),
    /// The member's new link is ready.
    Connected(usize, u64),
    /// The broker serves a lane to the link, or has said so.
    Served(usize, u64, u32),
    Confirmed(usize, u64, u32, Instant),
    Resume(usize),
    Gone(usize),
    Calm,
}

/// What happens when; of two things at one moment the one that was put down first comes first.
#[derive(Debug)]
struct Appointment {
    at: Duration,
    order: u64,
    happening: Happening,
}

impl PartialEq for Appointment {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Appointment {}

impl PartialOrd for Appointment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Appointment {
    /// The greatest is the next.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// What is to happen, in order.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    appointments: BinaryHeap<Appointment>,
    order: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at: Duration, happening: Happening) {
        self.order += 1;
        self.appointments.push(Appointment {
            at,
            order: self.order,
            happening,
        });
    }

    /// Takes what happens next, if it happens by then.
    pub(super) fn next(&mut self, end: Duration) -> Option<(Duration, Happening)> {
        let next = self.appointments.pop().filter(|next| next.at <= end)?;
        Some((next.at, next.happening))
    }
}
