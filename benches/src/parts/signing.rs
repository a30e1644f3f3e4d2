//! What signatures cost from one node to another, over Redis, in batches.

use std::io;
use std::sync::Arc;

use midplane::bus::{Bus, Keys, Signing};
use midplane_redis::Redis;
use midplane_testkit::server::Server;

use crate::across::{Streams, failed, midplane_signed};
use crate::race::race;
use crate::report::Report;

/// The contenders.
const UNSIGNED: &str = "midplane, unsigned";
const SIGNED: &str = "midplane, signatures required";

/// The turns of each contender, after some that find out how many events a turn takes.
const ROUNDS: usize = 11;
const CALIBRATION: usize = 3;

/// The size of a payload, in bytes.
const SIZE: usize = 64;

/// The goal for the events per second, as a ratio to those without signatures, where the processor has SHA instructions.
const KEPT: f64 = 0.85;

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    let server = Server::redis();
    let url = server.url();
    let bus = || -> io::Result<Arc<dyn Bus>> { Ok(Arc::new(Redis::new(&url).map_err(failed)?)) };
    let keys = Keys::new([(1, &[0x5a; Keys::SHORTEST][..])]).map_err(failed)?;
    let signing = Signing::require(keys);
    report.progress(format!("{SIZE} bytes, as many events as go"));
    let mut contenders = vec![
        (
            UNSIGNED,
            Streams::new(SIZE, midplane_signed(SIZE, None, bus)?),
        ),
        (
            SIGNED,
            Streams::new(SIZE, midplane_signed(SIZE, Some(&signing), bus)?),
        ),
    ];
    race(&mut contenders, CALIBRATION, Streams::calibrate)?;
    let speed = race(&mut contenders, ROUNDS, Streams::speed)?;
    let speed = speed.most(|speed| *speed);
    let (has, instructions) = match has_sha() {
        true => ("has", "with SHA instructions"),
        false => ("lacks", "without SHA instructions"),
    };
    report.say(format!(
        "### {SIZE} bytes over Redis\n\nThis processor {has} SHA instructions."
    ));
    report.columns(
        speed.names(),
        &[
            ("to unsigned", &speed.to_floor_fixed(3)),
            ("events/s", &speed.short()),
        ],
    );
    if has_sha() {
        let figure = format!("signed events per second, {SIZE} bytes, {instructions}");
        let goal = speed.goal(figure, SIGNED, "events/s");
        report.goal(goal.ratio_at_least(speed.to_floor(SIGNED), KEPT, "unsigned"));
    }
    Ok(())
}

/// Whether the processor has the instructions that SHA-256 is made of.
#[cfg(target_arch = "x86_64")]
fn has_sha() -> bool {
    std::arch::is_x86_feature_detected!("sha")
}

/// Whether the processor has the instructions that SHA-256 is made of.
#[cfg(target_arch = "aarch64")]
fn has_sha() -> bool {
    std::arch::is_aarch64_feature_detected!("sha2")
}

/// Nothing is known of others.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_sha() -> bool {
    false
}
