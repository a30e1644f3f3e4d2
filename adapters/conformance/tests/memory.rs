//! The bus inside one process keeps every promise.

use std::sync::Arc;

use midplane::Memory;
use midplane::bus::Bus;
use midplane_conformance::suite::BusFixture;

struct InProcess(Memory);

impl InProcess {
    fn start() -> Self {
        Self(Memory::new())
    }
}

impl BusFixture for InProcess {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.0.clone())
    }

    fn other_prefix(&self) -> Arc<dyn Bus> {
        Arc::new(Memory::new())
    }

    fn cut(&self) {
        self.0.block();
    }

    fn heal(&self) {
        self.0.unblock();
    }

    fn connections(&self) -> usize {
        self.0.links()
    }
}

midplane_conformance::bus_suite!(InProcess::start);
