//! What stands in for a bus that is not compiled in.

use std::sync::Arc;

use midplane_core::bus::{Bus, SettingsError};

/// The error that names the feature which brings the bus.
pub(crate) fn bus(
    _url: &str,
    _prefix: Option<&str>,
    feature: &'static str,
) -> Result<Arc<dyn Bus>, SettingsError> {
    Err(SettingsError::MissingFeature {
        package: "midplane",
        feature,
    })
}
