//! What is reported of nodes that nobody remembers.

use core::time::Duration;

use super::Node;
use crate::time::Instant;

impl Node {
    /// Nodes that died during an outage longer than members remember are named by nobody.
    pub(super) fn report_forgotten(&mut self, now: Instant, since: Instant) {
        let until = now - self.config.remembered();
        if since < until {
            self.reception.news.deaf(None, None, (since, until));
            self.away = Some(until);
        }
    }

    /// A heartbeat came of a node of which one came at `before`, this long before by the node's clock. Ours shows how long we
    /// were away only if it did not stand meanwhile, as that of a suspended machine does.
    pub(super) fn report_standstill(&mut self, now: Instant, before: Instant, passed: Duration) {
        let stood = passed > now - before + self.config.heartbeat;
        let known = self.woken.is_some_and(|woken| before < woken);
        if stood && passed > self.config.remembered() && !known {
            self.woken = Some(now);
            self.reception.news.deaf(None, None, (before, now));
        }
    }
}
