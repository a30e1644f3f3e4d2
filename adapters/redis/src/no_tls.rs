//! What stands in for TLS where it is not compiled in.

/// Whether it is compiled in.
pub(crate) const COMPILED: bool = false;

/// There is nothing to prepare.
pub(crate) fn prepare() {}
