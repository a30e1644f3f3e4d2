//! Restarts three servers one after the other under clients that come back, and counts what that costs.
//!
//! ```text
//! cargo run --release --locked -p server-suite --bin rolling -- [--clients N] [--rate N] [--flags "..."] [--picture FILE]
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use server_suite::cluster::Programs;
use server_suite::rolling::{self, Restart, Settings};
use server_suite::tool::{exit, print};

/// Restarts three servers one after the other under clients that come back, and counts what that costs.
///
/// The exit code is 1 if a client is not back, an event was lost unsaid, or more than twice as many clients as on average came
/// back within some second.
#[derive(Debug, Parser)]
struct Arguments {
    /// Clients of all servers together, 1 to 100000.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,

    /// Events that each server is given in a second, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,

    /// Flags of the servers, beside those that make them a cluster.
    #[arg(
        long,
        value_name = "FLAGS",
        default_value = "--drain-delay 2s",
        allow_hyphen_values = true
    )]
    flags: String,

    /// Draw what was counted, as an SVG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(restart(Arguments::parse()))
}

fn restart(arguments: Arguments) -> Result<bool, String> {
    let settings = Settings {
        clients: arguments.clients as usize,
        rate: arguments.rate,
        flags: arguments.flags,
    };
    let programs = Programs::beside_this().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let start = Instant::now();
    let say = |line: &str| print(&format!("{:6.1} {line}", start.elapsed().as_secs_f64()));
    let report = runtime.block_on(rolling::run(programs, &settings, &say));
    print(&format!("\n{report}"));
    if let Some(path) = arguments.picture {
        report.draw(&path).map_err(|error| error.to_string())?;
    }
    let is_even = |restart: &Restart| restart.peak() as f64 <= 2.0 * restart.mean();
    Ok(report.holds() && report.restarts.iter().all(is_even))
}
