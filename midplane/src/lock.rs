//! The lock that the tables and the mailboxes run on.

/// One byte where it stands, and it spins shortly before it parks the thread. Name it `Lock`: which type that is, is no part of
/// the API.
pub type Lock = parking_lot::RawMutex;
