//! Whole nodes on real servers that fail in every way, judged by the oracle.
//!
//! A [`Harness`] has one server, started as a child of the test, and three [`TestCluster`]s: two nodes each, with
//! their connections and publishers, on smol, on tokio with one thread, and on tokio with two. A scenario injects a
//! fault into the server or into what is between, and records in each history when the fault begins and ends; then
//! every node must be live again, and the oracle judges all three histories.
//!
//! A scenario is written once, in [`scenarios`], and [`faults!`] makes a test of each for one
//! [`Broker`]. Those that take longer than a minute are ignored unless asked for: `./test faults`.

mod attempts;
mod broker;
mod cluster;
mod harness;
mod nats;
mod postgres;
mod redis;
pub mod scenarios;
mod shape;
mod workload;

pub use attempts::ConnectAttempts;
pub use broker::{AccessFault, Broker};
pub use cluster::TestCluster;
pub use harness::{Harness, Route};
pub use nats::NatsBroker;
pub use postgres::PostgresBroker;
pub use redis::{RedisBroker, RedisClusterBroker, Servers};
pub use shape::{ClusterShape, HEARTBEAT};

/// Makes one test of each scenario, or of those that are named, out of an expression that starts a [`Broker`].
#[macro_export]
macro_rules! faults {
    (@each $start:expr, $($module:ident::$scenario:ident)+) => {$(
        #[test]
        fn $scenario() {
            $crate::scenarios::$module::$scenario(&$start);
        }
    )+};
    (@ignored $start:expr, $($module:ident::$scenario:ident)+) => {$(
        #[test]
        #[ignore = "it takes longer than a minute"]
        fn $scenario() {
            $crate::scenarios::$module::$scenario(&$start);
        }
    )+};
    ($start:expr) => {
        $crate::faults!(@each $start,
            outage::bus_killed_for_1_s
            outage::bus_stopped_for_3_s
            outage::subscribers_cut
            outage::links_reset
            wire::cut_at_some_bytes
            wire::one_byte_slices
            wire::deaf_behind_a_black_hole
            wire::mute_behind_a_black_hole
            wire::latency
            access::credentials_break_and_heal
            access::permission_removed_and_given_back
            access::connection_limit
            hostile::oversize
            hostile::frames_that_nobody_sent
            load::twenty_nodes_reconnect_at_once
            load::stop_under_load
            load::consumer_too_slow
        );
        $crate::faults!(@ignored $start,
            outage::bus_killed_for_10_s
            outage::bus_killed_for_90_s
            outage::bus_stopped_for_30_s
            wire::cut_at_every_byte
            load::two_hundred_nodes_reconnect_at_once
        );
    };
    ($start:expr, $($module:ident::$scenario:ident)+) => {
        $crate::faults!(@each $start, $($module::$scenario)+);
    };
}
