//! What a listener is given: the store, the program's handler, the clock and the settings.

use alloc::sync::Arc;

use midplane_core::Timer;

use crate::backend::CompletionBackend;
use crate::filter::Filter;
use crate::handler::Handler;
use crate::ledger::Ledger;
use crate::settings::ListenerSettings;

/// The seams of a listener and its settings, which do not change while it runs.
pub(crate) struct Seams {
    pub(crate) backend: Arc<dyn CompletionBackend>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) filter: Filter,
    pub(crate) settings: ListenerSettings,
}
