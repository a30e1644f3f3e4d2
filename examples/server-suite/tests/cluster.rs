//! Several servers on one bus: child processes on tokio and on smol, and real brokers.

use server_suite::cluster::{Kind, Programs, flows, foreign, judged, reach, readiness, stopping};
use server_suite::run_cluster as run;

const PROGRAMS: Programs = Programs {
    tokio: env!("CARGO_BIN_EXE_tokio-node"),
    smol: env!("CARGO_BIN_EXE_smol-node"),
    both: env!("CARGO_BIN_EXE_two-nodes"),
};

/// Makes tests of what takes a sort of broker.
macro_rules! on {
    ($($name:ident: $check:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn on_redis() {
                run($check(Kind::Redis));
            }

            #[test]
            fn on_valkey() {
                run($check(Kind::Valkey));
            }

            #[test]
            fn on_nats() {
                run($check(Kind::Nats));
            }

            #[test]
            fn on_postgres() {
                run($check(Kind::Postgres));
            }
        })*
    };
}

const LANES: &[&str] = &["--lanes", "16"];

on! {
    two_processes: |kind| reach::a_publish_reaches_the_clients_of_every_node(PROGRAMS, kind, 2, &[]);
    three_processes: |kind| reach::a_publish_reaches_the_clients_of_every_node(PROGRAMS, kind, 3, LANES);
    a_flow_is_seen: |kind| flows::a_flow_is_seen_from_another_node(PROGRAMS, kind);
    any_program_publishes: |kind| foreign::any_program_publishes(PROGRAMS, kind);
    a_broker_that_stands_still: |kind| readiness::a_broker_that_stands_still(PROGRAMS, kind);
    a_broker_that_is_killed: |kind| readiness::a_broker_that_is_killed(PROGRAMS, kind);
    the_oracle_judges_servers: |kind| judged::servers_that_fail_one_after_the_other(PROGRAMS, kind);
}

#[test]
fn two_nodes_in_one_process() {
    run(reach::a_publish_reaches_the_other_node_of_one_process(
        PROGRAMS,
    ));
}

#[test]
fn the_page_of_another_node_shows_a_flow() {
    run(flows::the_page_of_another_node_shows_a_flow(PROGRAMS));
}

#[test]
fn nobody_listens_untold() {
    run(foreign::nobody_listens_untold(PROGRAMS));
}

#[test]
fn a_subscription_that_is_cut() {
    run(readiness::a_subscription_that_is_cut(PROGRAMS));
}

#[test]
fn a_permission_that_is_removed() {
    run(readiness::a_permission_that_is_removed(PROGRAMS));
}

#[test]
fn a_master_that_is_demoted() {
    run(readiness::a_master_that_is_demoted(PROGRAMS));
}

#[test]
fn a_node_that_is_killed() {
    run(stopping::a_node_that_is_killed(PROGRAMS));
}

#[test]
fn a_node_that_stands_still() {
    run(stopping::a_node_that_stands_still(PROGRAMS));
}

/// `cargo test -p server-suite --test cluster -- --ignored`, about 80 s.
#[test]
#[ignore = "it takes 80 s"]
fn a_node_that_stands_still_for_30_s() {
    run(stopping::a_node_that_stands_still_for_30_s(PROGRAMS));
}

#[test]
fn a_stop_under_load() {
    run(stopping::a_stop_under_load(PROGRAMS));
}

#[test]
fn a_stop_without_a_broker() {
    run(stopping::a_stop_without_a_broker(PROGRAMS));
}
