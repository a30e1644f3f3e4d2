//! The lock that the tables and the mailboxes run on.

/// `parking_lot`'s: one byte where it stands, and it spins shortly before it parks the thread.
pub type Lock = parking_lot::RawMutex;
