//! Events from one node to another: what the parts across nodes share.

mod arrivals;
mod driver;
mod node;
mod raw;
mod route;

pub(crate) use driver::{AWAITED, Driver, DriverClient, Manner, Take};
pub(crate) use node::{NodeRuntime, NodeThread, attach, midplane, midplane_signed, start_cluster};
pub(crate) use raw::{Raw, RawSockets};
pub(crate) use route::Streams;

use std::io;

/// An error of a library that is measured.
pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}
