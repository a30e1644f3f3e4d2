//! The bus of `midplane-redis`.

use std::sync::Arc;

use midplane_core::bus::{Bus, SettingsError};
use midplane_redis::Redis;

pub(crate) fn bus(
    url: &str,
    prefix: Option<&str>,
    _feature: &'static str,
) -> Result<Arc<dyn Bus>, SettingsError> {
    let bus = Redis::new(url)?;
    Ok(Arc::new(match prefix {
        Some(prefix) => bus.with_prefix(prefix)?,
        None => bus,
    }))
}
