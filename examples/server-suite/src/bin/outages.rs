//! Counts what clients of three servers get while brokers, links and servers fail.
//!
//! ```text
//! cargo run --release --locked -p server-suite --bin outages -- [BROKER...] [--short] [--fault WORD] [--rate N] [--logs DIRECTORY]
//! ```
//!
//! A BROKER is `redis`, `valkey`, `nats` or `postgres`; all four without any, side by side. `--fault` runs those faults alone
//! whose name has the word in it, and may be given several times. `--rate` is how many events each server is given in a
//! second, 20 without it. `--logs` names a directory for what servers logged and what each client missed and was told. The exit
//! code is 1 if a promise was broken.

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use server_suite::cluster::{Programs, ServerKind};
use server_suite::outages::{self, Settings, Table};
use server_suite::tool::{exit, print};

const BROKERS: [(&str, ServerKind); 4] = [
    ("redis", ServerKind::Redis),
    ("valkey", ServerKind::Valkey),
    ("nats", ServerKind::Nats),
    ("postgres", ServerKind::Postgres),
];

fn main() -> ExitCode {
    let run = arguments().and_then(|(brokers, settings)| {
        let programs = Programs::beside_this().map_err(|error| error.to_string())?;
        Ok(all(programs, brokers, &settings))
    });
    exit(run.map(|table| {
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

fn arguments() -> Result<(Vec<ServerKind>, Settings), String> {
    let mut brokers = Vec::new();
    let mut settings = Settings::default();
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--short" => settings.short = true,
            "--fault" => settings.faults.push(value()?),
            "--logs" => settings.logs = Some(value()?.into()),
            "--rate" => {
                let rate = value()?
                    .parse()
                    .ok()
                    .filter(|rate| (1..=1000).contains(rate));
                settings.rate = rate.ok_or("--rate is a number from 1 to 1000")?;
            }
            name => match BROKERS.iter().find(|(broker, _)| *broker == name) {
                Some((_, kind)) => brokers.push(*kind),
                None => return Err(format!("{name} is neither a broker nor a flag")),
            },
        }
    }
    if brokers.is_empty() {
        brokers = BROKERS.map(|(_, kind)| kind).to_vec();
    }
    Ok((brokers, settings))
}
