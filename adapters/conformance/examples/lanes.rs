//! How many frames the other nodes of a cluster receive for each publish, by how many lanes there are:
//! `cargo run --release -p midplane-conformance --example lanes`.

use std::io::{self, Write};
use std::sync::Arc;

use midplane::bus::Bus;
use midplane::{Memory, Timer};
use midplane_conformance::routing::{RoutingScene, measure};

const CONNECTIONS: usize = 100;
const PUBLISHES: usize = 2_000;

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "Frames received for each publish to one user, all other nodes together; {CONNECTIONS} connections on each node, \
         each with a user of its own.\n"
    )?;
    writeln!(
        out,
        "| nodes | 1 lane (broadcast) | 1,024 lanes | 65,536 lanes |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for nodes in [3, 10, 30] {
        write!(out, "| {nodes} |")?;
        for lanes in [1, 1_024, 65_536] {
            let scene = RoutingScene {
                nodes,
                lanes,
                connections: CONNECTIONS,
                publishes: PUBLISHES,
            };
            write!(out, " {:.2} |", frames_per_publish(scene))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn frames_per_publish(scene: RoutingScene) -> f64 {
    let timer: Arc<dyn Timer> = Arc::new(midplane::threads::Timer::new());
    let bus: Arc<dyn Bus> = Arc::new(Memory::new());
    let received = measure(scene, || bus.clone(), &timer, midplane::threads::spawn);
    let received = futures::executor::block_on(received);
    let frames: u64 = received.iter().map(|node| node.frames()).sum();
    frames as f64 / scene.publishes as f64
}
