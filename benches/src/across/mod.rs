//! Events from one node to another: what the parts across nodes share.

mod arrivals;
mod clock;
mod courier;
mod duel;
mod node;
mod originals;
mod raw;

pub(crate) use courier::{Courier, Publish, Take};
pub(crate) use duel::Contest;
pub(crate) use node::{Node, Runtime, midplane, topic};
pub(crate) use raw::{Pipe, Raw};

use std::io;

/// An error of whatever is measured.
pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}
