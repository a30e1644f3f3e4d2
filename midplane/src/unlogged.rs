//! What stands in for the log where `tracing` is not compiled in.

use std::sync::Arc;

use futures::stream::BoxStream;
use midplane_core::{Notice, Runtime};

use crate::host::Cluster;

pub(crate) fn follow(_: &Arc<dyn Runtime>, _: BoxStream<'static, Notice>, _: Cluster) {}

pub(crate) fn alone() {}

pub(crate) fn closed(_: usize) {}

pub(crate) fn dropped(_: usize) {}
