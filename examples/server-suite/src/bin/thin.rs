//! Reads a server's flood over thin links, under the limits that the server has by default.
//!
//! ```text
//! cargo run --release --locked -p server-suite --bin thin -- [--minutes N] [--unread N] [--flags "..."]
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use server_suite::cluster::Programs;
use server_suite::thin::{self, Settings};
use server_suite::tool::{exit, print};

/// Reads a server's flood over thin links, under the limits that the server has by default.
///
/// Links of 5 to 300 kB/s are read, behind clients that never read. The server on tokio is measured, and then that on smol. The
/// exit code is 1 if a link was cut off, or lost nothing.
#[derive(Debug, Parser)]
struct Arguments {
    /// Minutes for which the links are read, 1 to 600.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    minutes: u32,

    /// Clients that never read, 0 to 100000.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    unread: u32,

    /// Flags of the servers.
    #[arg(
        long,
        value_name = "FLAGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    flags: String,
}

fn main() -> ExitCode {
    exit(measure(Arguments::parse()))
}

fn measure(arguments: Arguments) -> Result<bool, String> {
    let settings = Settings {
        length: Duration::from_secs(60) * arguments.minutes,
        unread: arguments.unread as usize,
        flags: arguments.flags,
    };
    let programs = Programs::beside_this().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let mut holds = true;
    for (name, program) in [("tokio", programs.tokio), ("smol", programs.smol)] {
        let say = |line: &str| print(&format!("{name}: {line}"));
        let report = runtime.block_on(thin::run(program, &settings, &say));
        print(&format!("\nthe server on {name}\n{report}"));
        holds &= report.holds();
    }
    Ok(holds)
}
