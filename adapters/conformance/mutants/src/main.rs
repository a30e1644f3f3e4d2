//! Breaks a copy of the tree, one edit at a time, and requires the named test to fail.
//!
//! ```text
//! cargo run --locked -p mutants                      every mutant
//! cargo run --locked -p mutants -- --share 3/24      the fourth of 24 shares
//! cargo run --locked -p mutants -- --only mailbox/   the mutants whose name contains the word
//! cargo run --locked -p mutants -- --list            names and promises, and runs nothing
//! ```
//!
//! A check that cannot fail proves nothing. Each [`Mutant`] in `table/*.toml` is an edit of one place. The
//! runner makes the edit in a copy of the tree under `target/mutants`, where the named test must compile
//! and fail. An edit that no longer applies, a copy that does not compile and a test that passes or does
//! not run are each a failure of the run.

mod run;
mod table;
#[cfg(test)]
mod tests;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Parser;

use run::Tree;
use table::{Mutant, Outcome, root};

/// Breaks a copy of the tree, one edit at a time, and requires the named test to fail.
#[derive(Parser, Debug)]
struct Options {
    /// Run the share K of N equal shares, K counted from 0.
    #[arg(long, value_name = "K/N", value_parser = share, default_value = "0/1")]
    share: (usize, usize),
    /// Run the mutants whose name contains this word.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Print the chosen mutants and their promises, and run nothing.
    #[arg(long)]
    list: bool,
}

fn share(text: &str) -> Outcome<(usize, usize)> {
    let (number, of) = text.split_once('/').ok_or("a share is written as 3/24")?;
    let (number, of) = (number.parse()?, of.parse()?);
    (number < of)
        .then_some((number, of))
        .ok_or_else(|| "the shares of 24 are 0/24 to 23/24".into())
}

fn main() -> ExitCode {
    match mutate(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(stderr(), "mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen mutants and returns how many survived.
fn mutate(options: &Options) -> Outcome<usize> {
    let mut chosen = table::read(&root())?;
    chosen.retain(|mutant| mutant.name.contains(&options.only));
    // Neighbours break the same packages: a share of neighbours compiles the fewest.
    let (number, of) = options.share;
    let chosen = &chosen[number * chosen.len() / of..(number + 1) * chosen.len() / of];
    if chosen.is_empty() {
        return Err("no mutant is chosen".into());
    }
    if options.list {
        for Mutant { name, promise, .. } in chosen {
            writeln!(stdout(), "{name:<45} {promise}")?;
        }
        return Ok(0);
    }
    let tree = Tree::copy_of(&root())?;
    let mut survivors = 0;
    for (number, mutant) in chosen.iter().enumerate() {
        let (number, of) = (number + 1, chosen.len());
        write!(stdout(), "[{number:>3}/{of}] {:<45} ", mutant.name)?;
        stdout().flush()?;
        match tree.run(mutant)? {
            Ok(how) => writeln!(stdout(), "caught {how}")?,
            Err(why) => {
                survivors += 1;
                writeln!(stdout(), "SURVIVED {}: {why}", mutant.test)?;
            }
        }
    }
    let caught = chosen.len() - survivors;
    writeln!(stdout(), "mutants: {caught} caught, {survivors} survived")?;
    Ok(survivors)
}
