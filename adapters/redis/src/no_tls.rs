//! What stands in for TLS where it is not compiled in.

/// Does nothing: there is nothing to prepare.
pub(crate) fn prepare() {}
