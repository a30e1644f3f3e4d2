//! What a listener is given: the store, the program's handler, the clock and the settings.

use alloc::sync::Arc;

use midplane_core::{Runtime, Timer};

use super::incidents::Observer;
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
    /// Where handlers run; with the listener itself if there is none.
    pub(crate) runtime: Option<Arc<dyn Runtime>>,
    pub(crate) filter: Filter,
    pub(crate) settings: ListenerSettings,
    pub(crate) observer: Option<Observer>,
}
