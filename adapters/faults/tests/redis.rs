//! Nodes over Redis, which fails in every way.

use midplane_faults::OverRedis;

midplane_faults::faults!(OverRedis::start());

use std::time::Duration;

use midplane_faults::{Theatre, Way};

/// Its subscribers stay connected and hear nothing, and its publishers are refused.
#[test]
fn master_demoted() {
    let broker = OverRedis::start();
    let theatre = Theatre::open(&broker, Way::Direct);
    theatre.broken();
    broker.demote();
    theatre.cut();
    theatre.pass(Duration::from_secs(3));
    theatre.mended();
    broker.promote();
    theatre.healed();
    theatre.finish();
}

#[test]
fn descriptor_limit() {
    midplane_faults::scripts::access::descriptor_limit(&OverRedis::start());
}
