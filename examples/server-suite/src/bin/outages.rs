//! Counts what clients of three servers get while brokers, links and servers fail.
//!
//! ```text
//! cargo run --release --locked -p server-suite --bin outages -- [BROKER...] [--short] [--fault WORD] [--rate N] [--logs DIRECTORY]
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use server_suite::cluster::{Programs, ServerKind};
use server_suite::outages::{self, Settings, Table};
use server_suite::tool::{exit, print};

const BROKERS: [(&str, ServerKind); 4] = [
    ("redis", ServerKind::Redis),
    ("valkey", ServerKind::Valkey),
    ("nats", ServerKind::Nats),
    ("postgres", ServerKind::Postgres),
];

/// Counts what clients of three servers get while brokers, links and servers fail.
///
/// The exit code is 1 if a promise was broken.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run on this broker; on all four, side by side, where none is named.
    #[arg(value_name = "BROKER", value_parser = broker())]
    brokers: Vec<ServerKind>,

    /// Run those faults alone that are soon seen.
    #[arg(long)]
    short: bool,

    /// Run those faults alone whose name has this word in it. May be given several times.
    #[arg(long = "fault", value_name = "WORD")]
    faults: Vec<String>,

    /// Events that each server is given in a second, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = Settings::default().rate, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,

    /// Write what servers logged, and what each client missed and was told, into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    logs: Option<PathBuf>,
}

/// Reads the name of a broker.
fn broker() -> impl TypedValueParser<Value = ServerKind> {
    let named = PossibleValuesParser::new(BROKERS.map(|(name, _)| name));
    named.try_map(|name| {
        let found = BROKERS.into_iter().find(|(broker, _)| *broker == name);
        found.map(|(_, kind)| kind).ok_or("there is no such broker")
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let brokers = match arguments.brokers.is_empty() {
        true => BROKERS.map(|(_, kind)| kind).to_vec(),
        false => arguments.brokers,
    };
    let settings = Settings {
        short: arguments.short,
        faults: arguments.faults,
        rate: arguments.rate,
        logs: arguments.logs,
    };
    let programs = Programs::beside_this().map_err(|error| error.to_string());
    let table = programs.map(|programs| all(programs, brokers, &settings));
    exit(table.map(|table| {
        print(&format!("\n{table}"));
        table.holds()
    }))
}

/// Runs on each broker, side by side.
fn all(programs: Programs, brokers: Vec<ServerKind>, settings: &Settings) -> Table {
    let start = Instant::now();
    let say = |line: &str| print(&format!("{:6.1} {line}", start.elapsed().as_secs_f64()));
    let run = |kind| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        runtime.block_on(outages::run(programs, kind, settings, &say))
    };
    let mut table = Table::default();
    thread::scope(|scope| {
        let runs = brokers
            .into_iter()
            .map(|kind| scope.spawn(move || run(kind)));
        for run in runs.collect::<Vec<_>>() {
            table.append(run.join().expect("the run does not panic"));
        }
    });
    table
}
