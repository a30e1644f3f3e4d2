//! The node protocol alone, under each kind of fault and under all at once.

use midplane_conformance::simulation::protocol::{ProtocolFaults, run};

use super::{summary, with_seeds};

const NONE: ProtocolFaults = ProtocolFaults::NONE;

fn hold(faults: ProtocolFaults) {
    let judged = |seed, faults| run(seed, faults).assert_holds();
    let (exemptions, runs) = with_seeds(faults, 50, judged);
    summary(faults, runs, &exemptions);
}

#[test]
fn a_perfect_bus_loses_nothing_and_reports_nothing() {
    hold(NONE);
}

#[test]
fn what_a_lossy_bus_loses_lies_in_gaps() {
    let lossy = true;
    hold(ProtocolFaults { lossy, ..NONE });
}

#[test]
fn what_is_lost_while_links_break_lies_in_gaps() {
    let breaks = true;
    hold(ProtocolFaults { breaks, ..NONE });
}

#[test]
fn everything_at_once() {
    hold(ProtocolFaults {
        lossy: true,
        breaks: true,
        crashes: true,
        lanes: true,
        stalls: true,
        mixed: true,
        ..NONE
    });
}

#[test]
fn forged_frames_mute_nobody() {
    hold(ProtocolFaults {
        forged: true,
        breaks: true,
        lanes: true,
        ..NONE
    });
}

#[test]
fn a_node_that_joins_knows_every_member() {
    let crashes = true;
    hold(ProtocolFaults { crashes, ..NONE });
}

#[test]
fn a_bus_that_stood_still_delivers_nothing_stale() {
    let standstills = true;
    hold(ProtocolFaults {
        standstills,
        ..NONE
    });
}

#[test]
fn releases_that_differ_by_one_share_a_bus() {
    let mixed = true;
    hold(ProtocolFaults { mixed, ..NONE });
}

#[test]
fn a_process_that_stalled_delivers_nothing_stale() {
    let stalls = true;
    hold(ProtocolFaults { stalls, ..NONE });
}
