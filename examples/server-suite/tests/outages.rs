//! What clients get while brokers, links and servers fail: the faults that are soon seen. The program `outages` runs all.

use server_suite::Program;
use server_suite::cluster::{Programs, ServerKind};
use server_suite::outages;

const PROGRAMS: Programs = Programs {
    tokio: Program::new(env!("CARGO_BIN_EXE_tokio-node")),
    smol: Program::new(env!("CARGO_BIN_EXE_smol-node")),
    both: Program::new(env!("CARGO_BIN_EXE_two-nodes")),
};

#[test]
fn on_redis() {
    outages::check(PROGRAMS, ServerKind::Redis);
}

#[test]
fn on_valkey() {
    outages::check(PROGRAMS, ServerKind::Valkey);
}

#[test]
fn on_nats() {
    outages::check(PROGRAMS, ServerKind::Nats);
}

#[test]
fn on_postgres() {
    outages::check(PROGRAMS, ServerKind::Postgres);
}
