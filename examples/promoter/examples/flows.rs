//! Runs a flow of executions that wait for each other, with the stream whole, halved and dead.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures::executor::block_on;
use midplane::MemoryStore;
use midplane::completion::Settings;
use midplane::threads::Timer;
use promoter::{Carries, Plan, Run, Store};

/// Runs a flow of executions with random dependencies, once with a stream that carries everything, once with
/// one that loses half, and once with one that carries nothing. Tells how long each took, and whether every
/// execution ended as it had to.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many executions the flow has
    #[arg(long, default_value_t = 10_000)]
    executions: usize,
    /// Chooses the dependencies
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The time between two walks of the reconciler, in milliseconds
    #[arg(long, default_value_t = 200)]
    interval: u64,
}

fn main() -> ExitCode {
    match block_on(run(&Arguments::parse())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "promoter: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> std::io::Result<bool> {
    let mut settings = Settings::default();
    settings.interval = Duration::from_millis(arguments.interval);
    settings.stale = settings.interval / 2;
    let mut right = true;
    writeln!(
        stdout(),
        "{} executions, a walk every {:?}\n\n| store | stream | time | from the stream | from the ledger | right |\n|---|---|---|---|---|---|",
        arguments.executions,
        settings.interval
    )?;
    for carries in Carries::EVERY {
        let timer = Arc::new(Timer::new());
        let mut store = Store::from(MemoryStore::new(timer.clone()));
        store.backend = carries.of(store.backend);
        let plan = Plan::random(arguments.executions, arguments.seed);
        let run = Run::new(format!("flow {carries:?}"), plan, store, timer);
        let done = run.with_settings(settings).finish().await;
        right &= done.is_right();
        writeln!(
            stdout(),
            "| memory | {carries:?} | {:.2} s | {} | {} | {} |",
            done.elapsed.as_secs_f64(),
            done.counters.streamed,
            done.counters.reconciled.reconciled,
            if done.is_right() { "yes" } else { "NO" }
        )?;
    }
    Ok(right)
}
