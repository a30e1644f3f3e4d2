//! The bus of `midplane-postgres`.

use std::sync::Arc;

use midplane_core::bus::Bus;
use midplane_postgres::{Postgres, SettingsError};

use crate::error::Refusal;

pub(crate) fn bus(
    url: &str,
    prefix: Option<&str>,
    _feature: &'static str,
) -> Result<Arc<dyn Bus>, Refusal> {
    let bus = Postgres::new(url).map_err(refusal)?;
    Ok(Arc::new(match prefix {
        Some(prefix) => bus.with_prefix(prefix).map_err(refusal)?,
        None => bus,
    }))
}

fn refusal(error: SettingsError) -> Refusal {
    match error {
        SettingsError::Prefix(_) => Refusal::Prefix(error.into()),
        SettingsError::NoTls => Refusal::NotCompiledIn("tls"),
        error => Refusal::Invalid(error.into()),
    }
}
