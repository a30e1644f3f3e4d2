//! Events from one node to another: what the parts across nodes share.

mod arrivals;
mod clock;
mod duel;
mod node;
mod originals;
mod raw;

pub(crate) use arrivals::Arrivals;
pub(crate) use duel::{Contest, Way};
pub(crate) use node::{Node, Runtime, midplane, topic};
pub(crate) use originals::{Envelope, receive};
pub(crate) use raw::{Pipe, Raw};

use std::io;

/// An error of whatever is measured.
pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}
