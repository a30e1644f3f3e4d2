//! What stands in for a bus that is not compiled in.

use std::sync::Arc;

use midplane_core::bus::Bus;

use crate::error::Refusal;

/// There is none.
pub(crate) fn bus(
    _url: &str,
    _prefix: Option<&str>,
    feature: &'static str,
) -> Result<Arc<dyn Bus>, Refusal> {
    Err(Refusal::NotCompiledIn(feature))
}
