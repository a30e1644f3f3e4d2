//! The report: `cargo run --release --locked -p benches -- report` measures everything, `-- report
//! registry ws` some of its parts. It writes `benches/REPORT.md`, its pictures and `benches/report.json`.

mod across;
mod children;
mod constants;
mod parts;
mod race;
mod report;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use parts::{ONLY_BY_NAME, PARTS, Part};
use report::Report;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, and writes the report.
    Report {
        /// Some parts alone; `report list` names them.
        parts: Vec<String>,
    },
    /// Prints the measured constants that SCALE.md computes with.
    Constants,
}

#[expect(clippy::print_stderr, reason = "the output of a command")]
fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Report { parts } => report(&parts),
        Command::Constants => open().and_then(|report| constants::print(&report)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The report as it is committed.
fn open() -> io::Result<Report> {
    Report::open(Path::new(env!("CARGO_MANIFEST_DIR")))
}

#[expect(clippy::print_stderr, reason = "the output of a command")]
fn report(wanted: &[String]) -> io::Result<()> {
    if wanted == ["list"] {
        for Part { name, title, .. } in PARTS {
            eprintln!("{name:>12}  {title}");
        }
        return Ok(());
    }
    let known = |name: &String| PARTS.iter().any(|part| part.name == *name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        return Err(io::Error::other(format!(
            "no part is called {unknown}; `report list` names them"
        )));
    }
    let start = Instant::now();
    let order: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    let mut report = open()?;
    for part in PARTS {
        let named = wanted.iter().any(|name| name == part.name);
        if named || (wanted.is_empty() && part.name != ONLY_BY_NAME) {
            report.begin(part.name, part.title);
            (part.run)(&mut report)?;
            let took = report.end(&order)?;
            eprintln!("{:>12} done in {} s", part.name, took.as_secs());
        }
    }
    eprintln!("written in {} s", start.elapsed().as_secs());
    Ok(())
}
