//! Restarts three servers one after the other under clients that come back, and counts what that costs.
//!
//! ```text
//! cargo run --release --locked -p server-suite --bin rolling -- [--clients N] [--rate N] [--flags "..."] [--picture FILE]
//! ```
//!
//! There are 5,000 clients, and each server is given 20 events a second, unless the flags say otherwise. `--flags` go to the
//! servers. `--picture` names an SVG to draw. The exit code is 1 if a client is not back, an event was lost unsaid, or more than
//! twice as many clients as on average came back within some second.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use server_suite::cluster::Programs;
use server_suite::rolling::{self, Restart, Settings};
use server_suite::tool::{exit, number, print};

fn main() -> ExitCode {
    exit(restart())
}

fn restart() -> Result<bool, String> {
    let (settings, picture) = arguments()?;
    let programs = Programs::beside_this().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let start = Instant::now();
    let say = |line: &str| print(&format!("{:6.1} {line}", start.elapsed().as_secs_f64()));
    let report = runtime.block_on(rolling::run(programs, &settings, &say));
    print(&format!("\n{report}"));
    if let Some(path) = picture {
        report.draw(&path).map_err(|error| error.to_string())?;
    }
    let is_even = |restart: &Restart| restart.peak() as f64 <= 2.0 * restart.mean();
    Ok(report.holds() && report.restarts.iter().all(is_even))
}

fn arguments() -> Result<(Settings, Option<PathBuf>), String> {
    let mut settings = Settings {
        clients: 5_000,
        rate: 20,
        flags: "--drain-delay 2s".into(),
    };
    let mut picture = None;
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || number(&word, &value);
        match word.as_str() {
            "--clients" => settings.clients = number()? as usize,
            "--rate" => settings.rate = number()?.clamp(1, 1_000),
            "--flags" => settings.flags = value,
            "--picture" => picture = Some(value.into()),
            _ => return Err(format!("{word} is not a flag")),
        }
    }
    Ok((settings, picture))
}
