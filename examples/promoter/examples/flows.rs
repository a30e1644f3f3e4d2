//! Runs a flow of executions that wait for each other, over each store, with the stream whole, halved and dead.

#[path = "../tests/stores/mod.rs"]
mod stores;

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures::executor::block_on;
use midplane::completions::ListenerSettings;
use midplane::threads::Timer;
use promoter::{Carries, Plan, Run};

use stores::StoreKind;

/// Runs a flow of executions with random dependencies over each store, on servers of its own: once with a
/// stream that carries everything, once with one that loses half, and once with one that carries nothing.
/// Tells how long each took, and whether every execution ended as it had to.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many executions the flow has
    #[arg(long, default_value_t = 10_000)]
    executions: usize,
    /// Chooses the dependencies
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The time between two looks into the ledger that nothing else asks for, in milliseconds
    #[arg(long, default_value_t = 200)]
    interval: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "flows: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<bool> {
    let mut settings = ListenerSettings::default();
    settings.interval = Duration::from_millis(arguments.interval);
    let mut right = true;
    writeln!(
        stdout(),
        "{} executions, a look every {:?}\n\n\
         | store | stream carries | time | streamed | looks | in vain | right |\n\
         |---|---|---|---|---|---|---|",
        arguments.executions,
        settings.interval
    )?;
    for kind in [StoreKind::Memory, StoreKind::Redis, StoreKind::Postgres] {
        for carries in Carries::EVERY {
            let (mut store, _server) = kind.start();
            store.backend = carries.of(store.backend);
            let plan = Plan::random(arguments.executions, arguments.seed);
            let run = Run::new("flow", plan, store, Arc::new(Timer::new()));
            let done = block_on(run.with_settings(settings).finish());
            right &= done.is_right();
            writeln!(
                stdout(),
                "| {kind:?} | {carries:?} | {:.2} s | {} | {} | {} | {} |",
                done.elapsed.as_secs_f64(),
                done.counters.streamed,
                done.counters.fruitful + done.counters.vain,
                done.counters.vain,
                if done.is_right() { "yes" } else { "NO" }
            )?;
        }
    }
    Ok(right)
}
