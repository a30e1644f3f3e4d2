//! The bus inside the process, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::memory::Memory;
use midplane_core::bus::{Bus, Prefix, SettingsError};
use parking_lot::Mutex;

/// The hubs that have a name, by the prefix and the name. They stay: a program has few names, and all of them in
/// its settings.
static NAMED: Mutex<BTreeMap<(String, String), Memory>> = Mutex::new(BTreeMap::new());

/// The hub of the name behind the colon, or without a name one of its own.
pub(crate) fn bus(url: &str, prefix: Option<&str>) -> Result<Arc<dyn Bus>, SettingsError> {
    let name = url.strip_prefix("memory:").unwrap_or_default();
    let name = name.strip_prefix("//").unwrap_or(name);
    let prefix = prefix
        .map(|prefix| Prefix::new(prefix, ""))
        .transpose()?
        .map_or_else(String::new, |prefix| prefix.as_str().to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.chars().all(plain) {
        return Err(SettingsError::Url(
            "the url of the bus in memory is memory: or memory:name, the name of letters, digits, '_' and '-'",
        ));
    }
    if name.is_empty() {
        return Ok(Arc::new(Memory::new()));
    }
    let hub = NAMED
        .lock()
        .entry((prefix, name.to_owned()))
        .or_default()
        .clone();
    Ok(Arc::new(hub))
}
