//! A rolling restart under few clients. The program `rolling` has thousands.

use server_suite::Program;
use server_suite::cluster::Programs;
use server_suite::rolling::{self, Settings};

const PROGRAMS: Programs = Programs {
    tokio: Program::new(env!("CARGO_BIN_EXE_tokio-node")),
    smol: Program::new(env!("CARGO_BIN_EXE_smol-node")),
    both: Program::new(env!("CARGO_BIN_EXE_two-nodes")),
};

#[test]
fn every_client_comes_back_and_nothing_is_lost_unsaid() {
    let settings = Settings {
        clients: 90,
        rate: 20,
        flags: "--drain-delay 1s".into(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let report = runtime.block_on(rolling::run(PROGRAMS, &settings, &|_| {}));
    assert!(report.holds(), "\n{report}");
    // Each server had clients, and all of them left it and came back.
    assert_eq!(report.restarts.len(), 3);
    assert!(
        report.restarts.iter().all(|restart| restart.peak() > 10),
        "\n{report}"
    );
}
