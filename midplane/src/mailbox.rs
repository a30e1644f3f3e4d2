//! [`midplane_core::mailbox`] on this crate's [`Lock`].

use std::sync::Arc;

use crate::lock::Lock;

pub use midplane_core::mailbox::{Budget, Capacity, ControlError, Item, MailboxCounters, Overflow};

/// The end that events are pushed into.
pub type Sender = midplane_core::mailbox::Sender<Lock>;

/// The end that is read.
pub type Receiver = midplane_core::mailbox::Receiver<Lock>;

/// A mailbox that holds this much and does this when it is full.
#[must_use]
pub fn channel(capacity: Capacity, overflow: Overflow) -> (Sender, Receiver) {
    midplane_core::mailbox::channel(capacity, overflow)
}

/// A [`channel`] that also keeps within the bytes that this budget has for several mailboxes.
#[must_use]
pub fn channel_within(
    capacity: Capacity,
    overflow: Overflow,
    budget: Arc<Budget>,
) -> (Sender, Receiver) {
    midplane_core::mailbox::channel_within(capacity, overflow, budget)
}
