//! The promises of every bus, as named checks.
//!
//! The contract is in the documentation of [`midplane::bus`]; each check quotes the part that it holds a
//! bus to.

mod arrival;
mod lanes;
mod lifetime;
mod limits;
mod proxied;
mod refusal;
mod test_link;

use std::sync::Arc;

use futures::future::BoxFuture;
use midplane::bus::{Bus, BusError};

use midplane_testkit::executor::Executor;

pub use proxied::Proxied;
pub use test_link::{TestLink, outbound, without_echo};

/// A bus for the checks to run on, and the server behind it.
///
/// Each test starts one of its own. Every method may block.
pub trait BusFixture: Send + Sync + 'static {
    /// A bus on which one more node can connect: all of these reach each other.
    fn bus(&self) -> Arc<dyn Bus>;

    /// A bus on the same server that has another prefix, and so must not reach the others.
    fn other_prefix(&self) -> Arc<dyn Bus>;

    /// Ends every link of every bus, and refuses every connect until [`heal`](Self::heal).
    fn cut(&self);

    /// Undoes a [`cut`](Self::cut). Once it returns, connecting works.
    fn heal(&self);

    /// How many connections, or other things that a link holds of the server, are open. What stays the same through
    /// a check does not matter.
    fn connections(&self) -> usize;

    /// A bus with wrong credentials for the same server, and what must not be shown of them. `None` when
    /// the bus knows no credentials.
    fn wrong_credentials(&self) -> Option<RefusedBus> {
        None
    }

    /// A bus at an address where nobody listens, and what must not be shown of it. `None` when the bus is
    /// reached without an address.
    fn wrong_address(&self) -> Option<RefusedBus> {
        None
    }

    /// How many frames of a kilobyte are surely more than a link of [`bus`](Self::bus) holds, if it is
    /// not read.
    fn flood(&self) -> usize {
        20_000
    }
}

/// A bus that the server refuses, or that finds no server.
#[derive(Debug, Clone)]
pub struct RefusedBus {
    /// The bus, whose `connect` fails.
    pub bus: Arc<dyn Bus>,
    /// What must be in no message: passwords and tokens.
    pub secrets: Vec<String>,
    /// What the message must name, for the operator to know what to change: a setting or an address.
    pub names: String,
}

/// The error of a bus that must be refused.
///
/// # Panics
/// When the bus connects, or is not refused in time.
pub async fn refusal(bus: &dyn Bus) -> BusError {
    let refused = midplane_testkit::within("the refusal", bus.connect()).await;
    refused.expect_err("the server refuses the link")
}

/// One promise, and the check that a bus keeps it.
#[derive(Clone, Copy)]
pub struct BusCheck {
    /// What the promise is called.
    pub name: &'static str,
    /// Panics unless the bus keeps it.
    pub run: fn(Arc<dyn BusFixture>) -> BoxFuture<'static, ()>,
}

impl std::fmt::Debug for BusCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BusCheck").field(&self.name).finish()
    }
}

macro_rules! checks {
    ($($module:ident::$name:ident),+ $(,)?) => {
        /// Every check there is.
        pub const CHECKS: &[BusCheck] = &[$(BusCheck {
            name: stringify!($name),
            run: |fixture| Box::pin($module::$name(fixture)),
        }),+];
    };
}

checks! {
    arrival::every_link_receives_a_frame_the_sender_too,
    arrival::frames_of_one_sender_on_one_lane_keep_their_order,
    arrival::every_byte_arrives_as_it_was_sent,
    lanes::a_lane_not_subscribed_is_not_received,
    lanes::what_is_sent_after_subscribe_is_received,
    lanes::subscribing_twice_delivers_once,
    lanes::an_unsubscribed_lane_is_not_received,
    lanes::another_prefix_is_not_received,
    limits::the_largest_frame_arrives,
    limits::a_larger_frame_is_refused_and_the_link_lives,
    limits::a_link_nobody_reads_skips_nothing,
    lifetime::close_sends_what_is_buffered,
    lifetime::a_cut_ends_every_link,
    lifetime::connecting_works_after_the_cut_heals,
    lifetime::dropping_a_link_leaves_nothing_open,
    lifetime::dropping_a_connect_leaves_nothing_open,
    refusal::wrong_credentials_are_denied,
    refusal::a_wrong_address_is_unreachable,
}

/// Runs the check of this name on this executor. [`bus_suite!`](crate::bus_suite) calls it.
///
/// # Panics
/// When the check fails, or there is none of that name.
pub fn run<F: BusFixture>(name: &str, executor: Executor, start: impl FnOnce() -> F) {
    let check = CHECKS
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("there is no check called {name}"));
    executor.run((check.run)(Arc::new(start())));
}

/// Makes one test of each check on each executor, out of an expression that is called to get a
/// [`BusFixture`](crate::suite::BusFixture): `bus_suite!(RedisFixture::start)`.
///
/// The tests are in modules called after the executors, so `cargo test smol` runs those on smol.
#[macro_export]
macro_rules! bus_suite {
    ($start:expr) => {
        $crate::bus_suite!(@on smol, Smol, $start);
        $crate::bus_suite!(@on tokio_current, TokioCurrent, $start);
        $crate::bus_suite!(@on tokio_multi, TokioMulti, $start);
        $crate::bus_suite!(@on threads, Threads, $start);
    };
    (@on $module:ident, $executor:ident, $start:expr) => {
        $crate::bus_suite!(@each $module, $executor, $start,
            every_link_receives_a_frame_the_sender_too
            frames_of_one_sender_on_one_lane_keep_their_order
            every_byte_arrives_as_it_was_sent
            a_lane_not_subscribed_is_not_received
            what_is_sent_after_subscribe_is_received
            subscribing_twice_delivers_once
            an_unsubscribed_lane_is_not_received
            another_prefix_is_not_received
            the_largest_frame_arrives
            a_larger_frame_is_refused_and_the_link_lives
            a_link_nobody_reads_skips_nothing
            close_sends_what_is_buffered
            a_cut_ends_every_link
            connecting_works_after_the_cut_heals
            dropping_a_link_leaves_nothing_open
            dropping_a_connect_leaves_nothing_open
            wrong_credentials_are_denied
            a_wrong_address_is_unreachable
        );
    };
    (@each $module:ident, $executor:ident, $start:expr, $($check:ident)+) => {
        mod $module {
            #[allow(
                unused_imports,
                reason = "whether the expression names anything around it is its own affair"
            )]
            use super::*;

            $(#[test]
            fn $check() {
                $crate::suite::run(
                    stringify!($check),
                    $crate::executor::Executor::$executor,
                    $start,
                );
            })+

            #[test]
            fn every_check_is_run() {
                let run: &[&str] = &[$(stringify!($check)),+];
                let all: Vec<_> = $crate::suite::CHECKS.iter().map(|check| check.name).collect();
                assert_eq!(run, all);
            }
        }
    };
}
