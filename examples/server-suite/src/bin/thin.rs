//! Reads a server's flood over thin links, under the limits that the server has by default.
//!
//! ```text
//! cargo run --release --locked -p server-suite --bin thin -- [--minutes N] [--unread N] [--flags "..."]
//! ```
//!
//! Links of 5 to 300 kB/s are read for ten minutes, behind 1,000 clients that never read. The server on tokio is measured, and
//! then that on smol. `--flags` go to the servers. The exit code is 1 if a link was cut off, or lost nothing.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use server_suite::cluster::Programs;
use server_suite::thin::{self, Settings};
use server_suite::tool::{exit, number, print};

fn main() -> ExitCode {
    exit(measure())
}

fn measure() -> Result<bool, String> {
    let settings = arguments()?;
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

fn arguments() -> Result<Settings, String> {
    let mut settings = Settings {
        length: Duration::from_secs(600),
        unread: 1_000,
        flags: String::new(),
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || number(&word, &value);
        match word.as_str() {
            "--minutes" => settings.length = Duration::from_secs(60) * number()?,
            "--unread" => settings.unread = number()? as usize,
            "--flags" => settings.flags = value,
            _ => return Err(format!("{word} is not a flag")),
        }
    }
    Ok(settings)
}
