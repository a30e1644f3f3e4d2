//! Several servers on one bus: child processes on tokio and on smol, and real brokers.

use server_suite::cluster::split::Mistake;
use server_suite::cluster::{
    Programs, ServerKind, flows, foreign, judged, reach, readiness, signing, split, stopping,
};
use server_suite::{Program, run};

const PROGRAMS: Programs = Programs {
    tokio: Program::new(env!("CARGO_BIN_EXE_tokio-node")),
    smol: Program::new(env!("CARGO_BIN_EXE_smol-node")),
    both: Program::new(env!("CARGO_BIN_EXE_two-nodes")),
};

/// Makes a test of a check on each kind of broker.
macro_rules! on {
    ($($name:ident: $check:expr;)*) => {
        $(mod $name {
            use super::*;

            on! { @each $check;
                on_redis Redis
                on_valkey Valkey
                on_nats Nats
                on_postgres Postgres
            }
        })*
    };
    (@each $check:expr; $($test:ident $kind:ident)*) => {
        $(#[test]
        fn $test() {
            run($check(ServerKind::$kind));
        })*
    };
}

const LANES: &str = "--lanes 16";

on! {
    two_processes: |kind| reach::a_publish_reaches_the_clients_of_every_node(PROGRAMS, kind, 2, "");
    three_processes: |kind| reach::a_publish_reaches_the_clients_of_every_node(PROGRAMS, kind, 3, LANES);
    a_flow_is_seen: |kind| flows::a_flow_is_seen_from_another_node(PROGRAMS, kind);
    any_program_publishes: |kind| foreign::any_program_publishes(PROGRAMS, kind);
    a_broker_that_stands_still: |kind| readiness::a_broker_that_stands_still(PROGRAMS, kind);
    a_broker_that_is_killed: |kind| readiness::a_broker_that_is_killed(PROGRAMS, kind);
    the_oracle_judges_servers: |kind| judged::servers_that_fail_one_after_the_other(PROGRAMS, kind);
}

/// Makes a test of each check that chooses its broker.
macro_rules! once {
    ($($(#[$attribute:meta])* $name:ident: $check:path;)*) => {
        $($(#[$attribute])*
        #[test]
        fn $name() {
            run($check(PROGRAMS));
        })*
    };
}

once! {
    two_nodes_in_one_process: reach::a_publish_reaches_the_other_node_of_one_process;
    the_page_of_another_node_shows_a_flow: flows::the_page_of_another_node_shows_a_flow;
    nobody_listens_untold: foreign::nobody_listens_untold;
    a_node_of_another_program: foreign::a_node_of_another_program;
    a_subscription_that_is_cut: readiness::a_subscription_that_is_cut;
    a_permission_that_is_removed: readiness::a_permission_that_is_removed;
    a_master_that_is_demoted: readiness::a_master_that_is_demoted;
    sentinels_that_differ: readiness::sentinels_that_differ;
    a_pooler_of_transactions: readiness::a_pooler_of_transactions;
    a_server_without_a_key: signing::a_server_without_a_key_changes_nothing;
    a_node_that_is_killed: stopping::a_node_that_is_killed;
    a_node_that_stands_still: stopping::a_node_that_stands_still;
    #[ignore = "takes 80 s: cargo test -p server-suite --test cluster -- --ignored"]
    a_node_that_stands_still_for_30_s: stopping::a_node_that_stands_still_for_30_s;
    a_stop_under_load: stopping::a_stop_under_load;
    a_stop_without_a_broker: stopping::a_stop_without_a_broker;
    a_stop_with_nothing_to_send: stopping::a_stop_with_nothing_to_send;
}

/// Makes a test of a check of each of these arguments.
macro_rules! each {
    ($($name:ident: $check:path { $($test:ident $argument:expr;)* })*) => {
        $(mod $name {
            use super::*;

            $(#[test]
            fn $test() {
                run($check(PROGRAMS, $argument));
            })*
        })*
    };
}

each! {
    two_brokers_by_mistake: split::two_brokers_by_mistake {
        on_redis Mistake::TwoBrokers(ServerKind::Redis);
        on_nats Mistake::TwoBrokers(ServerKind::Nats);
        on_postgres Mistake::TwoBrokers(ServerKind::Postgres);
        a_stale_sentinel Mistake::StaleSentinel;
    }
    a_node_that_is_led_to_another_broker: split::a_node_that_is_led_to_another_broker {
        on_redis ServerKind::Redis;
        on_nats ServerKind::Nats;
        on_postgres ServerKind::Postgres;
    }
}
