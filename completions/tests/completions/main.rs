//! What a listener and a follower promise, on the store in memory and by a clock that is not real. The names
//! begin with the promise they hold.

mod dispatch;
mod faults;
mod flows;
mod follow;
mod kit;
#[path = "../../../core/tests/common/meant.rs"]
mod meant;
mod reconcile;
